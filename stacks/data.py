"""The stack that keeps: tables, buckets, the user pool, and the function that guards sign-up.

Where a stage retains data, this stack refuses to be deleted and the platform stack comes and goes beside it: that
is how a redeployment finds its data. What it made is named by CloudFormation and found through SSM parameters
`/slipway/<stage>/...`, which the platform stack reads when it is deployed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from cdk_app.bundle import Bundle
from cdk_app.constructs.bucket import Bucket
from cdk_app.constructs.metrics_client import MetricsClient
from cdk_app.constructs.table import Table
from cdk_app.constructs.user_pool import UserPool
from cdk_app.settings import Settings
from stacks.functions import Functions, bucket_arn

NOUN_TABLES = ["accounts", "datasets", "models", "jobs", "endpoints"]
TABLES = [*NOUN_TABLES, "waits", "models-index", "metrics"]
BUCKETS = ["datasets", "models", "jobs"]
# Bucket -> the tag of its objects that expire: the archive of a model's files is made again when it is asked for.
EXPIRING = {"models": ("slipway", "archive")}
USER_POOL = "user-pool-id"
CLIENT = "user-pool-client-id"
METRICS_CLIENT = "metrics-client-id"


class DataStack(cdk.Stack):
    """Tables, buckets and users of one stage."""

    def __init__(self, scope: Construct, settings: Settings, bundles: Mapping[str, Bundle]) -> None:
        super().__init__(scope, f"slipway-{settings.stage}-data", termination_protection=settings.retain_data)
        made: dict[str, str] = {}
        for noun in NOUN_TABLES:
            table = Table(
                self, f"{noun.capitalize()}Table", settings=settings, partition_key="owner", sort_key="id", by_id=True
            )
            made[f"{noun}-table"] = table.table_name
        waits = Table(self, "WaitsTable", settings=settings, partition_key="id", expires_at="expires_at")
        made["waits-table"] = waits.table_name
        index = Table(self, "ModelsIndexTable", settings=settings, partition_key="term", sort_key="segment")
        made["models-index-table"] = index.table_name
        metrics = Table(
            self, "MetricsTable", settings=settings, partition_key="id", sort_key="series", expires_at="expires_at"
        )
        made["metrics-table"] = metrics.table_name
        for name in BUCKETS:
            bucket = Bucket(self, f"{name.capitalize()}Bucket", settings=settings, expiring=EXPIRING.get(name))
            made[f"{name}-bucket"] = bucket.bucket_name
        made |= self._users(settings, bundles, made["accounts-table"])
        for name, value in made.items():
            ssm.StringParameter(self, f"Parameter-{name}", parameter_name=parameter(settings, name), string_value=value)

    def _users(self, settings: Settings, bundles: Mapping[str, Bundle], accounts_table: str) -> dict[str, str]:
        existing = settings.existing_user_pool
        if existing:
            return {USER_POOL: existing.user_pool_id, CLIENT: existing.client_id}
        functions = Functions(self, settings, bundles)
        functions.variables["ACCOUNTS_TABLE"] = accounts_table
        functions.resources["accounts-table"] = [table_arn(self, accounts_table)]
        functions.add("accounts_pre_sign_up")
        users = UserPool(self, "Users", settings=settings, pre_sign_up=functions["accounts_pre_sign_up"])
        made = {USER_POOL: users.pool.user_pool_id, CLIENT: users.client.user_pool_client_id}
        if settings.metrics_client:
            reader = MetricsClient(self, "MetricsClient", settings=settings, pool=users.pool)
            made[METRICS_CLIENT] = reader.client.user_pool_client_id
        return made


@dataclass(frozen=True)
class Data:
    """The data stack as the platform stack sees it: names, and the ARNs made from them."""

    tables: Mapping[str, str]
    buckets: Mapping[str, str]
    user_pool_id: str
    client_id: str
    metrics_client_id: str | None

    def resources(self, stack: cdk.Stack) -> dict[str, list[str]]:
        """Return the ARNs by the names that the grants use."""
        arns: dict[str, list[str]] = {}
        for name, table in self.tables.items():
            arns[f"{name}-table"] = [table_arn(stack, table)]
            arns[f"{name}-table/by_id"] = [f"{table_arn(stack, table)}/index/by_id"]
        for name, bucket in self.buckets.items():
            arns[f"{name}-bucket"] = [bucket_arn(stack, bucket)]
            arns[f"{name}-bucket/*"] = [f"{bucket_arn(stack, bucket)}/*"]
        jobs = bucket_arn(stack, self.buckets["jobs"])
        arns["jobs-bucket/config"] = [f"{jobs}/*/config/config.json"]
        arns["jobs-bucket/capsule"] = [f"{jobs}/*/capsule.json"]
        arns["jobs-bucket/scripts"] = [f"{jobs}/*/scr-*/script.zip"]
        arns["jobs-bucket/logs"] = [f"{jobs}/*/logs/*"]
        arns["jobs-bucket/inferences"] = [f"{jobs}/*/ep-*/inferences/*"]
        arns["jobs-bucket/answers"] = [f"{jobs}/*/ep-*/output/*"]
        datasets = bucket_arn(stack, self.buckets["datasets"])
        arns["datasets-bucket/files"] = [f"{datasets}/*/files/*", f"{datasets}/*/files.json"]
        arns["datasets-bucket/processed"] = [f"{datasets}/*/processed/*"]
        arns["models-bucket/documents"] = [f"{bucket_arn(stack, self.buckets['models'])}/*.json"]
        pool = stack.format_arn(service="cognito-idp", resource="userpool", resource_name=self.user_pool_id)
        return arns | {"user-pool": [pool]}

    def variables(self) -> dict[str, str]:
        """Return the functions' variables that name data."""
        tables = {f"{name.upper().replace('-', '_')}_TABLE": table for name, table in self.tables.items()}
        buckets = {f"{name.upper()}_BUCKET": bucket for name, bucket in self.buckets.items()}
        return tables | buckets | {"USER_POOL_ID": self.user_pool_id, "USER_POOL_CLIENT_ID": self.client_id}


def data_of(stack: cdk.Stack, settings: Settings) -> Data:
    """Return what the data stack of this stage made, as parameters that are read at each deployment."""

    def value(name: str) -> str:
        return ssm.StringParameter.value_for_string_parameter(stack, parameter(settings, name))

    return Data(
        tables={name: value(f"{name}-table") for name in TABLES},
        buckets={name: value(f"{name}-bucket") for name in BUCKETS},
        user_pool_id=value(USER_POOL),
        client_id=value(CLIENT),
        metrics_client_id=value(METRICS_CLIENT) if settings.metrics_client else None,
    )


def parameter(settings: Settings, name: str) -> str:
    """Return the name of an SSM parameter of this stage."""
    return f"/slipway/{settings.stage}/{name}"


def table_arn(stack: cdk.Stack, name: str) -> str:
    """Return the ARN of a table."""
    return stack.format_arn(service="dynamodb", resource="table", resource_name=name)
