"""What the platform relies on MiniStack for, and what its hooks add: run this against every new MiniStack.

Run: pytest tests/local/test_emulator_contract.py -q
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from local.home import REGION
from tests.local.small import Small, eventually


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def session(small: Small, role: str) -> dict[str, str]:
    """Credentials of a session of the role."""
    key = small.client("sts").assume_role(RoleArn=small.stack[role], RoleSessionName="test")["Credentials"]
    return {
        "access_key_id": key["AccessKeyId"],
        "secret_access_key": key["SecretAccessKey"],
        "session_token": key["SessionToken"],
    }


def as_writer(small: Small, service: str) -> Any:
    """A client with the credentials that the writer's functions have."""
    role = small.client("iam").get_role(RoleName=small.stack["WriterRole"].split("/")[-1])["Role"]
    trust = role["AssumeRolePolicyDocument"]
    trust["Statement"] += [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]
    small.client("iam").update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=json.dumps(trust))
    return small.client(service, session(small, "WriterRole"))


class TestNames:
    def test_another_ministack_is_refused_with_one_sentence(self, tmp_path) -> None:
        program = (
            "from local import emulator_hooks as hooks\n"
            "hooks.NAMES['app']['_no_such_name'] = None\n"
            "hooks.NAMES['services.sts']['register_session'] = ['other']\n"
            "hooks.VERSION = '0'\n"
            "hooks.check_names()\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        for part in ("instead of 0", "no app._no_such_name", "other parameters of services.sts.register_session"):
            assert part in done.stderr.splitlines()[-1]


class TestPort:
    """The emulator's port is root's; only signed calls from this machine's programs get through."""

    @pytest.mark.parametrize("key", ["test", "123456789012", "000000000000"])
    def test_well_known_root_keys_are_refused(self, small: Small, key: str) -> None:
        client = boto3.client(
            "dynamodb",
            endpoint_url=small.emulator_url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key="test",
        )
        with pytest.raises(ClientError) as error:
            client.list_tables()
        assert code_of(error) == "AccessDeniedException"

    @pytest.mark.parametrize("headers", [{"Origin": "http://localhost:3000"}, {"Host": "attacker.example"}])
    def test_web_pages_and_foreign_names_are_refused(self, small: Small, headers: dict[str, str]) -> None:
        assert requests.get(f"{small.emulator_url}/_ministack/health", headers=headers).status_code == 403

    @pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config"])
    def test_administration_paths_are_closed(self, small: Small, path: str) -> None:
        assert requests.post(small.emulator_url + path).status_code == 403

    def test_unsigned_object_is_refused(self, small: Small) -> None:
        bucket = small.stack["Bucket"]
        small.client("s3").put_object(Bucket=bucket, Key="secret", Body=b"x")
        url = f"{small.emulator_url}/{bucket}/secret"
        assert requests.get(url).status_code == 403
        assert requests.get(f"{url}?X-Amz-Credential=a/b/c/s3/aws4_request").status_code in (400, 403)
        assert requests.get(f"{url}?X-Amz-Signature=x&X-Amz-Credential=a/b/c/s3/aws4_request").status_code in (400, 403)


class TestPermissions:
    def test_function_role_allows_what_it_says_and_nothing_else(self, small: Small) -> None:
        dynamodb = as_writer(small, "dynamodb")
        dynamodb.put_item(TableName=small.stack["Table"], Item={"id": {"S": "granted"}})
        with pytest.raises(ClientError) as error:
            dynamodb.get_item(TableName=small.stack["Table"], Key={"id": {"S": "granted"}})
        assert code_of(error) == "AccessDeniedException"

    @pytest.mark.parametrize("kind", ["Training", "Processing"])
    def test_sagemaker_names_are_checked(self, small: Small, kind: str) -> None:
        describe = getattr(as_writer(small, "sagemaker"), f"describe_{kind.lower()}_job")
        with pytest.raises(ClientError) as error:
            describe(**{f"{kind}JobName": "other-1"})
        assert code_of(error) == "AccessDeniedException"
        with pytest.raises(ClientError) as error:
            describe(**{f"{kind}JobName": "allowed-1"})
        assert code_of(error) == "ValidationException"

    def test_endpoint_invocation_needs_its_own_permission(self, small: Small) -> None:
        with pytest.raises(ClientError) as error:
            as_writer(small, "sagemaker-runtime").invoke_endpoint(EndpointName="any", Body=b"x")
        assert code_of(error) == "AccessDeniedException"

    @pytest.mark.parametrize(("role", "denied"), [("PassableRole", False), ("EmptyRole", True)])
    def test_role_is_passed_to_sagemaker_only_with_pass_role(self, small: Small, role: str, denied: bool) -> None:
        request = {
            "TrainingJobName": f"allowed-{role}",
            "AlgorithmSpecification": {"TrainingImage": "no-such-image", "TrainingInputMode": "File"},
            "RoleArn": small.stack[role],
            "OutputDataConfig": {"S3OutputPath": f"s3://{small.stack['Bucket']}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }
        try:
            as_writer(small, "sagemaker").create_training_job(**request)
        except ClientError as error:
            message = error.response["Error"]["Message"]
            assert ("iam:PassRole" in message) is denied, message
        else:
            assert not denied

    def test_state_machine_role_is_enforced(self, small: Small) -> None:
        ended = small.ended(small.start_execution("Forbidden", "forbidden"))
        assert ended["status"] == "FAILED"
        assert ended["error"] == "Lambda.AWSLambdaException"
        assert "lambda:InvokeFunction" in ended["cause"]


class TestFunctions:
    def test_worker_sees_the_platform_and_nothing_of_the_developers(self, small: Small) -> None:
        answer = requests.get(f"{small.api_url}/echo").json()
        assert answer["endpoint"] == small.emulator_url
        assert answer["s3"] == f"http://127.0.0.1:{small.process.port}"
        assert answer["leaked"] == []

    @pytest.mark.parametrize("name", ["Echo", "Silent"])
    def test_warm_invocation_does_not_wait_for_logs(self, small: Small, name: str) -> None:
        client = small.client("lambda")
        took = []
        for _ in range(12):
            began = time.perf_counter()
            client.invoke(FunctionName=small.stack[name], Payload=b"{}")
            took.append(time.perf_counter() - began)
        assert min(took) < 0.03, took

    def test_log_lines_belong_to_their_invocation(self, small: Small) -> None:
        mark = f"mark-{time.time()}"
        small.client("lambda").invoke(FunctionName=small.stack["Echo"], Payload=json.dumps({"mark": mark}))
        logs = small.client("logs")

        def found() -> Any:
            group = f"/aws/lambda/{small.stack['Echo']}"
            return [e["message"] for e in logs.filter_log_events(logGroupName=group)["events"] if mark in e["message"]]

        (line,) = eventually(found)
        assert "end-of-logs" not in line


class TestWorkflows:
    def test_token_is_answered(self, small: Small) -> None:
        execution = small.start_execution("Waiting", "answered")
        token = eventually(lambda: small.item("answered"))["token"]["S"]
        small.client("stepfunctions").send_task_success(taskToken=token, output='{"done": true}')
        assert json.loads(small.ended(execution)["output"]) == {"done": True}

    def test_failing_submission_fails_the_waiting_task(self, small: Small) -> None:
        ended = small.ended(small.start_execution("Waiting", "broken"))
        assert (ended["status"], ended["error"]) == ("FAILED", "ValueError")  # the exception's class, as on AWS
        assert "this submission fails" in ended["cause"]

    def test_missing_heartbeat_ends_the_wait(self, small: Small) -> None:
        ended = small.ended(small.start_execution("Impatient", "impatient"))
        assert ended["error"] == "States.HeartbeatTimeout"

    def test_stopped_execution_stays_aborted_and_rules_hear_of_it(self, small: Small) -> None:
        execution = small.start_execution("Waiting", "stopped")
        eventually(lambda: small.item("stopped"))
        small.client("stepfunctions").stop_execution(executionArn=execution)
        seen = eventually(lambda: small.item("Step Functions Execution Status Change/stopped"))
        assert json.loads(seen["detail"]["S"])["status"] == "ABORTED"
        assert small.ended(execution)["status"] == "ABORTED"


class TestEvents:
    def test_clients_may_not_say_aws(self, small: Small) -> None:
        entry = {"Source": "aws.batch", "DetailType": "x", "Detail": "{}"}
        answer = small.client("events").put_events(Entries=[entry])
        assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"


class TestStorage:
    def test_links_signed_by_root_are_checked(self, small: Small) -> None:
        s3 = small.client("s3")
        s3.put_object(Bucket=small.stack["Bucket"], Key="checked", Body=b"content")
        link = s3.generate_presigned_url("get_object", {"Bucket": small.stack["Bucket"], "Key": "checked"})
        assert requests.get(link).content == b"content"
        assert requests.get(link[:-3] + "000").status_code == 403

    def test_bucket_that_demands_tls_takes_our_requests(self, small: Small) -> None:
        small.client("s3").put_object(Bucket=small.stack["Bucket"], Key="tls", Body=b"x")
        assert as_writer(small, "s3").get_object(Bucket=small.stack["Bucket"], Key="tls")["Body"].read() == b"x"

    def test_big_archive_of_code_is_not_in_the_state_files(self, small: Small) -> None:
        noise = io.BytesIO()
        with zipfile.ZipFile(noise, "w") as archive:
            archive.writestr("blob", bytes(3_000_000))
            archive.writestr("index.py", "def handler(event, context): return 1")
        small.client("lambda").create_function(
            FunctionName="big",
            Runtime="python3.13",
            Role=small.stack["WriterRole"],
            Handler="index.handler",
            Code={"ZipFile": noise.getvalue()},
        )
        requests.post(f"{small.emulator_url}/_slipway/save").raise_for_status()
        assert (small.files.state / "lambda.json").stat().st_size < 200_000
