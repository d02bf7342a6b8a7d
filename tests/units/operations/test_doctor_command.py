"""What the doctor finds and what it says to run.  `pytest tests/units/operations`"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cdk_app.settings import Settings
from operations import doctor, toolkit
from operations.terminal import OperationError

SETTINGS = Settings(stage="dev", training_instance_types={"ml.m5.large": 2, "ml.g5.xlarge": 1})
TRAINING, GPU, SERVING, PROCESSING = (
    "ml.m5.large for training job usage",
    "ml.g5.xlarge for training job usage",
    "ml.m5.large for endpoint usage",
    "ml.m5.xlarge for processing job usage",
)


def quota(name: str, value: float, code: str) -> dict[str, object]:
    return {"ServiceCode": "sagemaker", "QuotaName": name, "QuotaCode": code, "Value": value}


def script_quotas(scripted, service: str, defaults: list, applied: list) -> None:
    scripted.script(
        "service-quotas",
        ("list_aws_default_service_quotas", {"ServiceCode": service}, {"Quotas": defaults}),
        ("list_service_quotas", {"ServiceCode": service}, {"Quotas": applied}),
    )


def test_the_quotas_of_a_stage_are_those_of_its_instance_types():
    assert doctor.needed_quotas(SETTINGS) == {TRAINING: 2, GPU: 1, SERVING: 1, PROCESSING: 1}


def test_a_missing_quota_comes_with_the_request_that_asks_for_it(scripted):
    defaults = [quota(TRAINING, 0, "L-1"), quota(GPU, 0, "L-2"), quota(SERVING, 2, "L-3"), quota(PROCESSING, 1, "L-4")]
    script_quotas(scripted, "sagemaker", defaults, [quota(TRAINING, 4, "L-1")])
    checks = {check.name: check for check in doctor.quota_checks(scripted, "sagemaker", doctor.needed_quotas(SETTINGS))}
    assert {name: check.ok for name, check in checks.items()} == {
        TRAINING: True,
        GPU: False,
        SERVING: True,
        PROCESSING: True,
    }
    assert checks[GPU].fix == (
        "aws service-quotas request-service-quota-increase --region eu-west-1"
        " --service-code sagemaker --quota-code L-2 --desired-value 1"
    )


def test_an_instance_type_without_a_quota_is_missing_too(scripted):
    script_quotas(scripted, "sagemaker", [], [])
    (check,) = doctor.quota_checks(scripted, "sagemaker", {GPU: 1})
    assert not check.ok and "offered" in check.fix


@pytest.mark.parametrize(("version", "ok"), [("5", False), ("6", True), ("28", True)])
def test_an_old_bootstrap_stack_is_not_enough(scripted, version: str, ok: bool):
    answer = {"Parameter": {"Name": toolkit.BOOTSTRAP_PARAMETER, "Value": version}}
    scripted.script("ssm", ("get_parameter", {"Name": toolkit.BOOTSTRAP_PARAMETER}, answer))
    check = doctor.bootstrap_check(scripted)
    assert check.ok == ok
    assert check.fix == f"npx aws-cdk@{toolkit.pinned()} bootstrap aws://123456789012/eu-west-1"


def test_a_region_without_a_service_is_named(scripted, monkeypatch: pytest.MonkeyPatch):
    assert doctor.region_check(scripted).ok
    monkeypatch.setattr(doctor, "SERVICES", ("lambda", "lex-models"))
    regions = {"lambda": ["eu-west-1"], "lex-models": ["us-east-1"]}
    monkeypatch.setattr(scripted.session, "get_available_regions", regions.get)
    check = doctor.region_check(scripted)
    assert not check.ok and check.found == "without lex-models"


def test_a_region_without_comprehend_is_named_with_the_setting_that_mends_it(scripted):
    assert doctor.comprehend_check(scripted, SETTINGS).ok
    check = doctor.comprehend_check(replace(scripted, region="eu-north-1"), SETTINGS)
    assert not check.ok and "comprehend_region" in check.fix and "eu-central-1" in check.fix
    elsewhere = SETTINGS.model_copy(update={"comprehend_region": "eu-central-1"})
    assert doctor.comprehend_check(replace(scripted, region="eu-north-1"), elsewhere).ok


def test_every_service_of_the_list_is_one_that_the_sdk_knows(scripted):
    assert all("us-east-1" in scripted.session.get_available_regions(service) for service in doctor.SERVICES)


def test_without_credentials_the_report_says_so_and_the_status_is_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert doctor.main(["dev", "--json"]) == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert not checks["credentials"]["ok"]
    assert "aws configure sso" in checks["credentials"]["fix"]
    assert doctor.main(["dev"]) == 1
    assert "MISSING  credentials" in capsys.readouterr().out


def test_a_report_without_gaps_says_so():
    assert "Nothing is missing." in doctor.report([doctor.Check("docker", True, "answers")])


def test_an_unknown_stage_is_refused():
    with pytest.raises(OperationError, match="it has: local, dev, prod"):
        doctor.main(["nowhere"])
