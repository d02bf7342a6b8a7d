"""Who may do what, read from the templates rather than from the table that they are made of.

Run: python -m pytest tests/infra/test_permissions.py
"""

import re
from collections.abc import Callable

import pytest

from stacks.api import PUBLIC_ROUTES, ROUTES
from stacks.grants import ANYWHERE, GRANTS
from stacks.wildcards import WILDCARDS
from tests.infra.synthesis import BOUNDARY, Stage, listed, readable, statements

# Actions for which IAM knows no resource type (Service Authorization Reference).
WITHOUT_RESOURCE = {
    "batch:ListServiceJobs",
    "cloudwatch:GetMetricData",
    "cloudwatch:PutMetricData",
    "comprehend:DetectEntities",  # but for a custom recognizer's endpoint
    "comprehend:DetectKeyPhrases",
    "comprehend:DetectSentiment",
    "ecr:GetAuthorizationToken",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "states:SendTaskFailure",
    "states:SendTaskHeartbeat",
    "states:SendTaskSuccess",
    "sagemaker:CallWithBearerToken",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
HERE = "<AWS::Region>:<AWS::AccountId>"
WILDCARD_RESOURCES = {
    f"arn:<AWS::Partition>:cloudformation:{HERE}:stack/slipway-dev-data/*",
    f"arn:<AWS::Partition>:cloudformation:{HERE}:stack/slipway-dev-platform/*",
    "arn:<AWS::Partition>:s3:::<datasetsbucket>/*",
    "arn:<AWS::Partition>:s3:::<modelsbucket>/*",
    "arn:<AWS::Partition>:s3:::<jobsbucket>/*",
    "arn:<AWS::Partition>:s3:::<modelsbucket>/*.json",
    "arn:<AWS::Partition>:s3:::<jobsbucket>/*/config/config.json",
    "arn:<AWS::Partition>:s3:::<jobsbucket>/*/capsule.json",
    "arn:<AWS::Partition>:s3:::<jobsbucket>/*/scr-*/script.zip",
    "arn:<AWS::Partition>:s3:::<jobsbucket>/*/logs/*",
    "arn:<AWS::Partition>:s3:::<jobsbucket>/*/ep-*/inferences/*",
    "arn:<AWS::Partition>:s3:::<jobsbucket>/*/ep-*/output/*",
    "arn:<AWS::Partition>:s3:::<jobsbucket>/*/output/*",
    "arn:<AWS::Partition>:s3:::<jobsbucket>/*/checkpoints/*",
    "arn:<AWS::Partition>:s3:::<datasetsbucket>/*/files/*",
    "arn:<AWS::Partition>:s3:::<datasetsbucket>/*/files.json",
    "arn:<AWS::Partition>:s3:::<datasetsbucket>/*/processed/*",
    f"arn:<AWS::Partition>:batch:{HERE}:service-job/*",
    f"arn:<AWS::Partition>:sagemaker:{HERE}:training-job/AWSBatch*",
    f"arn:<AWS::Partition>:sagemaker:{HERE}:training-job/awsbatch*",
    f"arn:<AWS::Partition>:sagemaker:{HERE}:processing-job/dsv-*",
    f"arn:<AWS::Partition>:sagemaker:{HERE}:endpoint/slipway-dev-*",
    f"arn:<AWS::Partition>:sagemaker:{HERE}:endpoint-config/slipway-dev-*",
    f"arn:<AWS::Partition>:sagemaker:{HERE}:model/slipway-dev-*",
    f"arn:<AWS::Partition>:sagemaker:{HERE}:inference-component/slipway-dev-*",
    "arn:<AWS::Partition>:iam::<AWS::AccountId>:role/slipway-dev-token/*",
    f"arn:<AWS::Partition>:cloudwatch:{HERE}:alarm:slipway-dev-ep-*",
    f"arn:<AWS::Partition>:cloudwatch:{HERE}:alarm:TargetTracking-endpoint/slipway-dev-*",
    f"arn:<AWS::Partition>:cloudwatch:{HERE}:alarm:TargetTracking-inference-component/slipway-dev-*",
    f"arn:<AWS::Partition>:application-autoscaling:{HERE}:scalable-target/*",
    f"arn:<AWS::Partition>:logs:{HERE}:log-group:/aws/sagemaker/TrainingJobs:*",
    f"arn:<AWS::Partition>:logs:{HERE}:log-group:/aws/sagemaker/ProcessingJobs:*",
    f"arn:<AWS::Partition>:logs:{HERE}:log-group:/aws/sagemaker/Endpoints/slipway-dev-*:*",
    f"arn:<AWS::Partition>:logs:{HERE}:log-group:/aws/sagemaker/InferenceComponents/slipway-dev-*:*",
}


def test_no_role_holds_an_action_with_a_wildcard(stage: Stage) -> None:
    wild = [(role, action) for role, given in statements(stage) for action in listed(given["Action"]) if "*" in action]
    assert wild == []


def test_star_resources_are_only_for_actions_without_resource_types(stage: Stage) -> None:
    free = {
        action
        for _, given in statements(stage)
        if "*" in listed(given["Resource"])
        for action in listed(given["Action"])
    }
    assert free <= WITHOUT_RESOURCE


def test_wildcards_in_resources_are_the_listed_ones(dev: Stage) -> None:
    wild = {readable(arn) for _, given in statements(dev) for arn in listed(given["Resource"])} - {"*"}
    wild = {arn for arn in wild if "*" in arn}
    executions = {arn for arn in wild if ":execution:<" in arn}
    assert len(executions) == 9
    assert wild - executions == WILDCARD_RESOURCES


def test_the_scanner_may_write_its_log_and_do_nothing_else(stage: Stage) -> None:
    given = [statement for role, statement in statements(stage) if role.startswith("ModelsScan")]
    assert [statement["Action"] for statement in given] == [["logs:CreateLogStream", "logs:PutLogEvents"]]
    assert GRANTS["models_scan"] == []
    ((_, function),) = (
        found for found in stage.resources("AWS::Lambda::Function").items() if found[0].startswith("ModelsScan")
    )
    assert function["Environment"]["Variables"] == {"POWERTOOLS_SERVICE_NAME": "models_scan"}


def test_what_reads_datasets_writes_below_processed_and_touches_no_record(stage: Stage) -> None:
    given = [(role, statement) for role, statement in statements(stage) if role.startswith("DatasetsProfile")]
    writes = [
        readable(arn)
        for _, statement in given
        if listed(statement["Action"]) == ["s3:PutObject"]
        for arn in listed(statement["Resource"])
    ]
    assert writes == ["arn:<AWS::Partition>:s3:::<datasetsbucket>/*/processed/*"]
    actions = {action for _, statement in given for action in listed(statement["Action"])}
    allowed = {"logs:CreateLogStream", "logs:PutLogEvents", "s3:GetObject", "s3:PutObject"}
    assert actions - {"kms:Decrypt", "kms:GenerateDataKey"} == allowed
    ((_, function),) = (
        found for found in stage.resources("AWS::Lambda::Function").items() if found[0].startswith("DatasetsProfile")
    )
    assert function["Environment"]["Variables"] == {"POWERTOOLS_SERVICE_NAME": "datasets_profile"}


def test_processing_jobs_write_below_processed_only(stage: Stage) -> None:
    ((_, role),) = (r for r in stage.resources("AWS::IAM::Role").items() if r[0].startswith("ProcessingRole"))
    given = role["Policies"][0]["PolicyDocument"]["Statement"]
    written = {
        readable(arn)
        for statement in given
        if {"s3:PutObject", "s3:DeleteObject"} & set(listed(statement["Action"]))
        for arn in listed(statement["Resource"])
    }
    assert written == {"arn:<AWS::Partition>:s3:::<datasetsbucket>/*/processed/*"}


def test_a_stage_reads_the_buckets_it_imports_from_and_none_where_it_has_none(
    stage_of: Callable[[str], Stage],
) -> None:
    def readers(stage: Stage, resource: str) -> set[str]:
        return {
            re.sub(r"Role[0-9A-F]{8}$", "", role)
            for role, given in statements(stage)
            if resource in [readable(arn) for arn in listed(given["Resource"])]
        }

    everything = stage_of("everything")
    roles = {"Datasets", "DatasetsImport", "Jobs", "JobsSchedule", "TrainingExecution", "Processing"}
    assert readers(everything, "arn:<AWS::Partition>:s3:::raw-data") == roles
    assert readers(everything, "arn:<AWS::Partition>:s3:::raw.data.two/*") == roles | {"DatasetsProfile"}
    buckets = {
        readable(arn)
        for _, given in statements(stage_of("dev"))
        if any(action.startswith("s3:") for action in listed(given["Action"]))
        for arn in listed(given["Resource"])
    }
    assert [arn for arn in buckets if ":::<" not in arn] == []


def test_api_functions_make_nothing_at_sagemaker_or_batch_and_pass_no_role() -> None:
    made = ("CreateModel", "CreateEndpoint", "CreateTrainingJob", "CreateProcessingJob", "SubmitServiceJob", "PassRole")
    for key in {*ROUTES, *PUBLIC_ROUTES}:
        assert [actions for actions, _ in GRANTS[key] if any(name in actions for name in made)] == [], key


def test_roles_are_passed_to_sagemaker_only_and_each_by_those_who_start_its_containers(dev: Stage) -> None:
    passing = [(role, given) for role, given in statements(dev) if "iam:PassRole" in listed(given["Action"])]
    passed = {by.partition("Role")[0]: readable(given["Resource"]).partition("Role")[0] for by, given in passing}
    assert passed == {
        "JobsSubmit": "<TrainingExecution",
        "EndpointsDeploy": "<TrainingExecution",
        "DatasetsSubmit": "<Processing",
    }
    for _, given in passing:
        assert given["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_tokens_are_signed_by_a_role_that_only_the_endpoints_function_may_take(dev: Stage) -> None:
    ((_, role),) = ((id, role) for id, role in dev.resources("AWS::IAM::Role").items() if id.startswith("TokenRole"))
    assert role["Path"] == "/slipway-dev-token/"
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRole" and "Condition" not in trust
    assert readable(trust["Principal"]["AWS"]).startswith("<EndpointsRole")
    (policy,) = role["Policies"]
    given = {
        each["Action"]: [readable(arn) for arn in listed(each["Resource"])]
        for each in policy["PolicyDocument"]["Statement"]
    }
    ours = f"arn:<AWS::Partition>:sagemaker:{HERE}"
    called = [f"{ours}:endpoint/slipway-dev-*", f"{ours}:inference-component/slipway-dev-*"]
    assert given == {"sagemaker:CallWithBearerToken": ["*"], "sagemaker:InvokeEndpoint": called}
    taking = {by for by, given in statements(dev) if "sts:AssumeRole" in listed(given["Action"])}
    assert [by.partition("Role")[0] for by in taking] == ["Endpoints"]


def test_every_function_has_a_role_of_its_own(stage: Stage) -> None:
    functions = stage.resources("AWS::Lambda::Function")
    roles = {readable(function["Role"]) for function in functions.values()}
    assert len(roles) == len(functions)


@pytest.mark.parametrize("name", ["TrainingExecutionRole", "ProcessingRole"])
def test_the_containers_roles_are_assumed_by_sagemaker_for_this_account_only(name: str, dev: Stage) -> None:
    (role,) = (role for id, role in dev.resources("AWS::IAM::Role").items() if id.startswith(name))
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_operators_role_is_for_this_accounts_people_and_makes_nothing(dev: Stage) -> None:
    (role,) = (role for id, role in dev.resources("AWS::IAM::Role").items() if id.startswith("OperatorRole"))
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRole"
    assert readable(trust["Principal"]["AWS"]) == "arn:<AWS::Partition>:iam::<AWS::AccountId>:root"
    given = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert sorted(action for statement in given for action in listed(statement["Action"])) == [
        "cloudformation:DescribeStacks",
        "logs:DescribeLogStreams",
        "logs:FilterLogEvents",
        "logs:GetLogEvents",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:DescribeModel",
        "sagemaker:InvokeEndpoint",
    ]
    assert dev.resources("AWS::IAM::User") == dev.resources("AWS::IAM::AccessKey") == {}


def test_a_workflow_may_call_its_own_functions_only(dev: Stage) -> None:
    called = {
        role: {readable(arn) for arn in listed(given["Resource"])}
        for role, given in statements(dev)
        if "Workflow" in role and listed(given["Action"]) == ["lambda:InvokeFunction"]
    }
    substituted = {
        machine.removesuffix(machine[machine.index("WorkflowMachine") :]): {
            readable(arn) for arn in properties["DefinitionSubstitutions"].values()
        }
        for machine, properties in dev.resources("AWS::StepFunctions::StateMachine").items()
    }
    assert {role[: role.index("WorkflowRole")]: arns for role, arns in called.items()} == substituted


def test_a_permissions_boundary_is_on_every_role(stage_of: Callable[[str], Stage]) -> None:
    roles = stage_of("everything").resources("AWS::IAM::Role")
    assert {role["PermissionsBoundary"] for role in roles.values()} == {BOUNDARY}


def test_every_wildcard_in_the_grants_table_says_why() -> None:
    used = {resource for grants in GRANTS.values() for _, resource in grants}
    assert set(WILDCARDS) <= used | {ANYWHERE}
    assert all(len(reason) >= 20 for reason in WILDCARDS.values())
