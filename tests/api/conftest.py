"""A local AWS for these tests, and clients that call a noun's Lambda handler as API Gateway does.

Run: python -m pytest tests/api
"""

import importlib
import io
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from lambdas.accounts.cognito import self_service
from lambdas.common import aws
from lambdas.common.ids import new_id
from tests.api.client import ApiClient

REGION = "us-east-1"
NOUN_TABLES = ["ACCOUNTS_TABLE", "DATASETS_TABLE", "MODELS_TABLE", "JOBS_TABLE", "ENDPOINTS_TABLE"]
BUCKETS = ["DATASETS_BUCKET", "MODELS_BUCKET", "JOBS_BUCKET"]
WORKFLOWS = ["process", "scan", "import", "archive", "train", "deploy", "update", "sleep", "teardown", "register"]
START_SECONDS = 60


@pytest.fixture(scope="package")
def aws_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MiniStack of these tests' own, empty, on a free loopback port."""
    home = tmp_path_factory.mktemp("aws")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "AUTH": "true",  # signatures, codes and token lifetimes count; the key `test` is root
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home / "s3"),
        "STATE_DIR": str(home / "state"),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "tests.api.emulator"], env=environment, stdout=log, stderr=log)
        endpoint = f"http://127.0.0.1:{port}"
        try:
            wait_until_healthy(endpoint, server, home / "log")
            yield endpoint
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def wait_until_healthy(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Poll until the server answers; fails with its log when it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if requests.get(f"{endpoint}/_ministack/health", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    pytest.fail(f"MiniStack did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="package", autouse=True)
def stage(aws_endpoint: str) -> Iterator[None]:
    """The stage's tables, buckets, user pool and workflows, and the environment its functions would have."""
    patch = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "SLIPWAY_S3_ENDPOINT": aws_endpoint,
        "STAGE": "test",
        "POWERTOOLS_SERVICE_NAME": "test",
        "SIGN_UP": "open",
        "SIGN_UP_DOMAINS": "",
        "MAX_DATASET_BYTES": str(5 * 1024**3),
        "MAX_MODEL_BYTES": str(5 * 1024**3),
        "STORAGE_QUOTA_BYTES": str(100 * 1024**3),
        "PROCESSING_FUNCTION_BYTES": str(100 * 1024**2),
        "PROCESSING_INSTANCE_TYPE": "ml.m5.xlarge",
        "PROCESSING_IMAGE": "000000000000.dkr.ecr.us-east-1.amazonaws.com/slipway:processing",
        "PROCESSING_ROLE_ARN": "arn:aws:iam::000000000000:role/processing",
        "IMPORT_BUCKETS": '["company-data"]',
        "INSTANCE_TYPES": '{"ml.m5.large": 2, "ml.g5.xlarge": 4}',
        "QUEUES": '{"ml.m5.large": "small", "ml.g5.xlarge": "large"}',
        "MEMBER_INSTANCE_TYPES": "[]",
        "MAX_JOBS_PER_USER": "20",
        "MAX_INSTANCE_HOURS_PER_USER": "",
        "STALLED_AFTER_MINUTES": "30",
        "LOG_RETENTION_DAYS": "30",
        "EXECUTION_ROLE_ARN": "arn:aws:iam::000000000000:role/execution",
        "LLM_SERVER": "huggingface",
        "LLM_IMAGE": "000000000000.dkr.ecr.us-east-1.amazonaws.com/slipway:huggingface",
        "ENDPOINT_LEASE_HOURS": "24",
        "ENDPOINT_IDLE_MINUTES": "60",
        "API_FUNCTIONS": '["jobs-function", "models-function"]',
    }.items():
        patch.setenv(name, value)
    patch.delenv("AWS_PROFILE", raising=False)
    forget_clients()
    for name, value in made().items():
        patch.setenv(name, value)
    yield
    patch.undo()  # the tests of other folders have an AWS of their own
    forget_clients()


def forget_clients() -> None:
    """Drop the clients of the process, which belong to the environment they were made in."""
    for cached in (aws.client, aws.s3_presigner, self_service):
        cached.cache_clear()


def made() -> dict[str, str]:
    """Make what the stage is made of; return variable -> name or ARN."""
    return create_tables() | create_buckets() | create_user_pool() | create_workflows() | create_control()


def create_tables() -> dict[str, str]:
    """Create the tables as the data stack does; return variable -> table name."""
    dynamodb = boto3.client("dynamodb")
    owner_and_id: Any = [{"AttributeName": "owner", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]
    only_id: Any = [{"AttributeName": "id", "KeyType": "HASH"}]
    types: Any = [{"AttributeName": name, "AttributeType": "S"} for name in ("owner", "id")]
    by_id: Any = [{"IndexName": "by_id", "KeySchema": only_id, "Projection": {"ProjectionType": "KEYS_ONLY"}}]
    for table in NOUN_TABLES:
        dynamodb.create_table(
            TableName=physical(table),
            KeySchema=owner_and_id,
            AttributeDefinitions=types,
            GlobalSecondaryIndexes=by_id,
            BillingMode="PAY_PER_REQUEST",
        )
    dynamodb.create_table(
        TableName=physical("WAITS_TABLE"),
        KeySchema=only_id,
        AttributeDefinitions=types[1:],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.create_table(
        TableName=physical("MODELS_INDEX_TABLE"),
        KeySchema=[{"AttributeName": "term", "KeyType": "HASH"}, {"AttributeName": "segment", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("term", "segment")],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.create_table(
        TableName=physical("METRICS_TABLE"),
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "series", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "series")],
        BillingMode="PAY_PER_REQUEST",
    )
    return {table: physical(table) for table in [*NOUN_TABLES, "WAITS_TABLE", "MODELS_INDEX_TABLE", "METRICS_TABLE"]}


def create_buckets() -> dict[str, str]:
    """Create the buckets, versioned; return variable -> bucket name."""
    s3 = boto3.client("s3")
    for bucket in BUCKETS:
        s3.create_bucket(Bucket=physical(bucket))
        s3.put_bucket_versioning(Bucket=physical(bucket), VersioningConfiguration={"Status": "Enabled"})
    return {bucket: physical(bucket) for bucket in BUCKETS}


def create_user_pool() -> dict[str, str]:
    """Create the user pool, its groups and its public client; return their variables."""
    cognito = boto3.client("cognito-idp")
    pool = cognito.create_user_pool(
        PoolName="slipway-test",
        AliasAttributes=["email"],
        AutoVerifiedAttributes=["email"],
        UsernameConfiguration={"CaseSensitive": False},
        Policies={
            "PasswordPolicy": {
                "MinimumLength": 8,
                "RequireUppercase": False,
                "RequireLowercase": False,
                "RequireNumbers": False,
                "RequireSymbols": False,
            }
        },
    )["UserPool"]["Id"]
    for group in ("admin", "member", "viewer"):
        cognito.create_group(UserPoolId=pool, GroupName=group)
    client = cognito.create_user_pool_client(
        UserPoolId=pool,
        ClientName="slipway",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        PreventUserExistenceErrors="ENABLED",
        EnableTokenRevocation=True,
    )["UserPoolClient"]["ClientId"]
    return {"USER_POOL_ID": pool, "USER_POOL_CLIENT_ID": client}


def create_workflows() -> dict[str, str]:
    """Create workflows whose executions run until a test ends them; return variable -> ARN."""
    role = boto3.client("iam").create_role(RoleName="workflows", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    definition = '{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": true}}}'
    create = boto3.client("stepfunctions").create_state_machine
    return {
        f"{name.upper()}_WORKFLOW_ARN": create(name=name, roleArn=role, definition=definition)["stateMachineArn"]
        for name in WORKFLOWS
    }


def create_control() -> dict[str, str]:
    """Create the functions that act on jobs and schedules as one that does nothing; tests call the real ones."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("index.py", "def handler(event, context):\n    pass\n")
    role = boto3.client("iam").create_role(RoleName="control", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    boto3.client("lambda").create_function(
        FunctionName="jobs-control",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": archive.getvalue()},
    )
    return {"JOBS_CONTROL_FUNCTION": "jobs-control", "JOBS_SCHEDULE_FUNCTION": "jobs-control"}


def physical(variable: str) -> str:
    """Return the name of the table or bucket behind a variable."""
    return "slipway-test-" + variable.lower().replace("_", "-")


@pytest.fixture(scope="session")
def api() -> Callable[..., ApiClient]:
    """Make a client of a noun's function, for a user that no other test has: `api("datasets", group="viewer")`."""

    def make(noun: str, username: str | None = None, group: str | None = None) -> ApiClient:
        handler = importlib.import_module(f"lambdas.{noun}.handler").handler
        return ApiClient(handler, username or new_id("job").replace("job", "user"), group)

    return make
