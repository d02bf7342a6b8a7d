"""What the stages are made of: the same everywhere but for a listed set of properties, and data that is kept.

Run: python -m pytest tests/infra/test_stages.py
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from stacks.functions import FUNCTIONS
from tests.infra.synthesis import KEY, ROOT, Stage, listed, readable

Stages = Callable[[str], Stage]
# Renaming one of these replaces the table, bucket or pool behind it, and with it what people stored there.
STATEFUL = {
    "AccountsTable81C15AE5": "AWS::DynamoDB::Table",
    "DatasetsTableF4ECB6D5": "AWS::DynamoDB::Table",
    "ModelsTableC5E7E44A": "AWS::DynamoDB::Table",
    "JobsTable1970BC16": "AWS::DynamoDB::Table",
    "EndpointsTableEB6D930A": "AWS::DynamoDB::Table",
    "WaitsTableD7A82EBD": "AWS::DynamoDB::Table",
    "ModelsIndexTable34A989CD": "AWS::DynamoDB::Table",
    "MetricsTable2972A477": "AWS::DynamoDB::Table",
    "DatasetsBucketCB69A570": "AWS::S3::Bucket",
    "ModelsBucketA3610ED4": "AWS::S3::Bucket",
    "JobsBucket5EADC5CA": "AWS::S3::Bucket",
    "UsersPoolBFC35D3B": "AWS::Cognito::UserPool",
    "UsersPoolClient39A19381": "AWS::Cognito::UserPoolClient",
}
# Where the templates of `local` and `dev` may differ, and why; `*` is any name.
DIFFERENCES = {
    "Resources/*/Properties/Code/S3Key": "compiled for the machine the functions run on",
    "Resources/*/Properties/Environment/Variables/SIGN_UP": "a setting: anybody may sign up on their own machine",
    "Resources/*/Properties/Environment/Variables/AUTO_CONFIRM": "a setting: no mail is sent on one's own machine",
    "Resources/*/Properties/Environment/Variables/IMPORT_BUCKETS": "a setting: one's own machine has a bucket to try",
    "Resources/*/Properties/Environment/Variables/LLM_SERVER": "a setting: one's own machine has no GPU for vLLM",
    "Resources/*/Properties/Environment/Variables/LLM_IMAGE/*": "the image of that setting",
    "Resources/MetricsClient*": "a setting: one's own machine has a Prometheus to try, whose client AWS would bill",
    "Resources/Parametermetricsclientid5799ECE4": "its id",
    "Parameters/SsmParameterValueslipwaystagemetricsclientid*": "the same",
    "Resources/*/Properties/AuthorizationScopes": "the scope that its tokens have",
    "Outputs/MetricsClientId": "where to look for it",
    "Outputs/TokenUrl": "the same",
    "Resources/*/Properties/AdminCreateUserConfig/AllowAdminCreateUserOnly": "the pool's side of SIGN_UP",
}
# What MiniStack 1.5.33 and the resource handlers of local/emulator_hooks.py can make.
LOCAL_TYPES = {
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::Authorizer",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::GatewayResponse",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Resource",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::Batch::JobQueue",
    "AWS::Batch::SchedulingPolicy",
    "AWS::Batch::ServiceEnvironment",
    "AWS::CloudFormation::CustomResource",
    "AWS::Cognito::UserPool",
    "AWS::Cognito::UserPoolClient",
    "AWS::Cognito::UserPoolGroup",
    "AWS::Cognito::UserPoolDomain",
    "AWS::Cognito::UserPoolResourceServer",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::SubscriptionFilter",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::SSM::Parameter",
    "AWS::StepFunctions::StateMachine",
}


def comparable(template: dict[str, Any]) -> dict[str, Any]:
    """Return a template in which neither the stage's name nor a hash that CDK makes from it appears."""
    text = re.sub(r"\b(local|dev)\b|(?<=slipway)(local|dev)", "stage", json.dumps(template))
    text = re.sub(r"(ApiDeployment[0-9A-F]{8})[0-9a-f]{32}", r"\1", text)
    text = re.sub(r"(AllowEventRuleslipwaystageplatform[A-Za-z]+)[0-9A-F]{16}", r"\1", text)
    return json.loads(re.sub(r"(AllowEventRuleslipwaystageplatformEvents[A-Za-z]+)[0-9A-F]{8}", r"\1", text))


def without_imports(template: dict[str, Any], buckets: list[str]) -> dict[str, Any]:
    """Return a template whose roles may do nothing with these buckets, a setting in which stages differ."""
    copy = json.loads(json.dumps(template))
    endings = tuple(f":s3:::{bucket}{below}" for bucket in buckets for below in ("", "/*"))
    for resource in copy["Resources"].values():
        for policy in resource.get("Properties", {}).get("Policies", []):
            document = policy["PolicyDocument"]
            for statement in document["Statement"]:
                arns = listed(statement["Resource"])
                statement["Resource"] = [arn for arn in arns if not readable(arn).endswith(endings)]
            document["Statement"] = [statement for statement in document["Statement"] if statement["Resource"]]
    return copy


def differences(left: Any, right: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which two templates differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            yield from differences(left.get(key), right.get(key), f"{path}/{key}".lstrip("/"))
    elif left != right:
        yield path


def test_local_and_dev_differ_only_where_listed(stage_of: Stages) -> None:
    local, dev = stage_of("local"), stage_of("dev")
    buckets = local.app.settings.import_buckets
    platforms = [comparable(without_imports(found.platform, buckets)) for found in (local, dev)]
    found = [
        *differences(comparable(local.data), comparable(dev.data)),
        *differences(platforms[0], platforms[1]),
    ]
    patterns = {path: re.compile(re.escape(path).replace(r"\*", "[^/]+")) for path in DIFFERENCES}
    unlisted = [path for path in found if not any(pattern.fullmatch(path) for pattern in patterns.values())]
    assert unlisted == []
    unused = [path for path, pattern in patterns.items() if not any(map(pattern.fullmatch, found))]
    assert unused == [], "listed, but no difference any more"


def test_everything_deployed_is_of_a_type_that_the_local_platform_makes(stage_of: Stages) -> None:
    local = stage_of("local")
    resources = [*local.data["Resources"].values(), *local.platform["Resources"].values()]
    assert {resource["Type"] for resource in resources} == LOCAL_TYPES


def test_what_holds_data_keeps_its_logical_id(stage_of: Stages) -> None:
    kinds = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Cognito::UserPool", "AWS::Cognito::UserPoolClient"}
    data = stage_of("prod").data["Resources"]
    assert {id: resource["Type"] for id, resource in data.items() if resource["Type"] in kinds} == STATEFUL


def test_the_platform_stack_holds_no_data(stage: Stage) -> None:
    kinds = {resource["Type"] for resource in stage.platform["Resources"].values()}
    assert not kinds & {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Cognito::UserPool"}


def test_prod_keeps_its_data_and_dev_does_not(stage_of: Stages) -> None:
    def policies(name: str) -> set[tuple[str | None, str | None]]:
        data = stage_of(name).data["Resources"]
        return {
            (data[id].get("DeletionPolicy"), data[id].get("UpdateReplacePolicy")) for id in tables_and_buckets(data)
        }

    assert policies("prod") == {("RetainExceptOnCreate", "Retain")}
    assert policies("dev") == {("Delete", "Delete")}
    assert stage_of("prod").app.data.termination_protection is True
    assert not stage_of("dev").app.data.termination_protection
    assert all(
        table["DeletionProtectionEnabled"] for table in stage_of("prod").resources("AWS::DynamoDB::Table").values()
    )


def tables_and_buckets(resources: dict[str, Any]) -> list[str]:
    """Return the logical ids of what data is in."""
    return [id for id, found in resources.items() if found["Type"] in ("AWS::DynamoDB::Table", "AWS::S3::Bucket")]


def test_nothing_has_a_fixed_name_but_parameters_the_api_and_workflow_logs(stage: Stage) -> None:
    every = [*stage.data["Resources"].values(), *stage.platform["Resources"].values()]
    names = ("TableName", "BucketName", "UserPoolName", "FunctionName", "RoleName", "QueueName", "LogGroupName")
    named = {
        resource["Type"]
        for resource in every
        if resource["Type"] not in ("AWS::Lambda::Permission", "AWS::CloudFormation::CustomResource")
        for name in names
        if isinstance(resource["Properties"].get(name), str)
    }
    assert named == {"AWS::Logs::LogGroup"}


def test_outputs_are_those_that_people_and_clients_read(stage: Stage) -> None:
    for_programs = {"MetricsClientId", "TokenUrl"} if stage.app.settings.metrics_client else set()
    assert set(stage.platform["Outputs"]) - for_programs == {
        *("ApiUrl", "UserPoolId", "UserPoolClientId", "Region", "Stage", "ExecutionRoleArn"),
        "OperatorRoleArn",
        *("DatasetsBucket", "ModelsBucket", "JobsBucket", "TrainingLogsWarning"),
    }
    assert readable(stage.platform["Outputs"]["ApiUrl"]["Value"]).endswith("/api")


def test_tables_have_the_keys_that_the_store_uses(dev: Stage) -> None:
    tables = dev.resources("AWS::DynamoDB::Table")
    shapes = {
        id: (
            [key["AttributeName"] for key in table["KeySchema"]],
            [index["IndexName"] for index in table.get("GlobalSecondaryIndexes", [])],
            table.get("TimeToLiveSpecification", {}).get("AttributeName"),
        )
        for id, table in tables.items()
    }
    waits = {id: shape for id, shape in shapes.items() if id.startswith("Waits")}
    assert list(waits.values()) == [(["id"], [], "expires_at")]
    index = {id: shape for id, shape in shapes.items() if id.startswith("ModelsIndex")}
    assert list(index.values()) == [(["term", "segment"], [], None)]
    metrics = {id: shape for id, shape in shapes.items() if id.startswith("Metrics")}
    assert list(metrics.values()) == [(["id", "series"], [], "expires_at")]
    others = [shape for id, shape in shapes.items() if id not in waits | index | metrics]
    assert others == [(["owner", "id"], ["by_id"], None)] * 5
    assert all(table["BillingMode"] == "PAY_PER_REQUEST" for table in tables.values())
    assert all(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] for table in tables.values())


def test_archives_of_models_expire_and_nothing_else_does(dev: Stage) -> None:
    expiring = {
        id: rule
        for id, bucket in dev.resources("AWS::S3::Bucket").items()
        for rule in bucket["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }
    ((bucket, rule),) = expiring.items()
    assert bucket.startswith("ModelsBucket")
    assert (rule["ExpirationInDays"], rule["TagFilters"]) == (7, [{"Key": "slipway", "Value": "archive"}])


def test_users_cannot_write_what_roles_rest_on(dev: Stage) -> None:
    ((_, client),) = dev.resources("AWS::Cognito::UserPoolClient").items()
    assert client["WriteAttributes"] == ["email", "name"]
    assert client["PreventUserExistenceErrors"] == "ENABLED"
    assert client["GenerateSecret"] is False
    assert (client["IdTokenValidity"], client["TokenValidityUnits"]["IdToken"]) == (30, "minutes")
    assert set(client["ExplicitAuthFlows"]) == {
        "ALLOW_USER_PASSWORD_AUTH",
        "ALLOW_USER_SRP_AUTH",
        "ALLOW_REFRESH_TOKEN_AUTH",
    }


def test_the_key_encrypts_tables_buckets_and_logs(everything: Stage) -> None:
    tables = everything.resources("AWS::DynamoDB::Table").values()
    assert {table["SSESpecification"]["KMSMasterKeyId"] for table in tables} == {KEY}
    rules = [
        bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
        for bucket in everything.resources("AWS::S3::Bucket").values()
    ]
    assert {rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] for rule in rules} == {KEY}
    assert {group["KmsKeyId"] for group in everything.resources("AWS::Logs::LogGroup").values()} == {KEY}


def test_the_key_and_the_network_reach_training_jobs(everything: Stage) -> None:
    variables = environment(everything, "lambdas.jobs.tasks.submit")
    assert variables["KMS_KEY_ARN"] == KEY
    network = {"Subnets": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-0a"]}
    assert json.loads(variables["VPC_CONFIG"]) == network


def test_the_key_and_the_network_reach_processing_jobs(everything: Stage) -> None:
    submit, train = (environment(everything, f"lambdas.{noun}.tasks.submit") for noun in ("datasets", "jobs"))
    for name in ("KMS_KEY_ARN", "VPC_CONFIG"):
        assert submit[name] == train[name]
    assert submit["PROCESSING_INSTANCE_TYPE"] == "ml.c5.2xlarge"
    assert json.loads(environment(everything, "lambdas.datasets.handler.handler")["IMPORT_BUCKETS"]) == [
        "raw-data",
        "raw.data.two",
    ]


def test_each_instance_type_has_a_queue_with_its_own_limit(everything: Stage) -> None:
    limits = [
        environment["CapacityLimits"] for environment in everything.resources("AWS::Batch::ServiceEnvironment").values()
    ]
    assert [limit[0]["MaxCapacity"] for limit in limits] == [2, 1]
    assert len(everything.resources("AWS::Batch::JobQueue")) == 2


def test_an_existing_pool_is_used_instead_of_a_new_one(everything: Stage) -> None:
    assert everything.resources("AWS::Cognito::UserPool") == {}
    values = [parameter["Value"] for parameter in everything.resources("AWS::SSM::Parameter").values()]
    assert "us-east-1_Existing1" in values
    assert "existingclient" in values


def test_browsers_of_other_origins_are_refused_by_buckets(everything: Stage) -> None:
    rules = [b["CorsConfiguration"]["CorsRules"][0] for b in everything.resources("AWS::S3::Bucket").values()]
    assert {origin for rule in rules for origin in rule["AllowedOrigins"]} == {"https://console.example.com"}


def environment(stage: Stage, handler: str) -> dict[str, str]:
    """Return the variables of the function with that handler."""
    (function,) = (f for f in stage.resources("AWS::Lambda::Function").values() if f["Handler"] == handler)
    return function["Environment"]["Variables"]


def test_every_variable_is_read_by_some_function_and_every_read_one_is_given() -> None:
    given = {name for spec in FUNCTIONS.values() for name in spec.variables.split()}
    text = "\n".join(path.read_text() for path in (ROOT / "lambdas").rglob("*.py"))
    read = set(
        re.findall(r"""(?:variable|optional|mapping|environ\.get|environment\.get)\(\s*["']([A-Z_]+)["']""", text)
    )
    read |= set(re.findall(r'"([A-Z]+_(?:TABLE|WORKFLOW_ARN))"', text))
    ours = {name for name in read if not name.startswith(("AWS_", "SAGEMAKER_", "SLIPWAY_", "POWERTOOLS_"))}
    assert ours == given
