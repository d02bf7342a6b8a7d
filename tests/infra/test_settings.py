"""Settings: what is refused, and that the message names the key.

Run: python -m pytest tests/infra/test_settings.py
"""

from typing import Any

import pytest

from cdk_app.settings import SettingsError, load_settings
from tests.infra.synthesis import CONTEXT, STAGES

POOL = {"user_pool_id": "us-east-1_a", "client_id": "b"}


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("retain_date", True, "stages.dev.retain_date: Extra inputs"),
        ("retain_data", "perhaps", "stages.dev.retain_data"),
        ("password_minimum_length", 5, "stages.dev.password_minimum_length"),
        ("password_minimum_length", 100, "stages.dev.password_minimum_length"),
        ("sign_up", "everyone", "stages.dev.sign_up"),
        ("sign_up", "domains", "sign_up_domains"),
        ("sign_up_domains", ["example.com"], "sign_up_domains"),
        ("auto_confirm", True, "auto_confirm"),
        ("training_instance_types", {}, "stages.dev.training_instance_types"),
        ("training_instance_types", {"m5.large": 1}, "stages.dev.training_instance_types.m5.large"),
        ("training_instance_types", {"ml.m5.large": 0}, "stages.dev.training_instance_types.ml.m5.large"),
        ("vpc", {"vpc_id": "vpc-1", "subnet_ids": []}, "stages.dev.vpc.subnet_ids"),
        ("vpc", {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"]}, "stages.dev.vpc.security_group_ids"),
        ("kms_key_arn", "alias/mine", "stages.dev.kms_key_arn"),
        ("permissions_boundary_arn", "mine", "stages.dev.permissions_boundary_arn"),
        ("existing_user_pool", {"user_pool_id": "x"}, "stages.dev.existing_user_pool.client_id"),
        ("log_retention_days", 8, "stages.dev.log_retention_days"),
        ("max_dataset_bytes", 1000, "stages.dev.max_dataset_bytes"),
        ("max_dataset_bytes", 5 * 2**40 + 1, "stages.dev.max_dataset_bytes"),
        ("storage_quota_bytes", 1000, "stages.dev.storage_quota_bytes"),
        ("processing_function_bytes", -1, "stages.dev.processing_function_bytes"),
        ("processing_instance_type", "m5.xlarge", "stages.dev.processing_instance_type"),
        ("import_buckets", "raw-data", "stages.dev.import_buckets"),
        ("import_buckets", ["s3://raw-data"], "stages.dev.import_buckets.0"),
        ("import_buckets", ["raw-*"], "stages.dev.import_buckets.0"),
        ("max_model_bytes", 5 * 2**40 + 1, "stages.dev.max_model_bytes"),
        ("member_instance_types", ["ml.p5.48xlarge"], "training_instance_types: ml.p5.48xlarge"),
        ("max_jobs_per_user", 0, "stages.dev.max_jobs_per_user"),
        ("max_instance_hours_per_user", 0, "stages.dev.max_instance_hours_per_user"),
        ("endpoint_lease_hours", 0, "stages.dev.endpoint_lease_hours"),
        ("endpoint_idle_minutes", 14, "stages.dev.endpoint_idle_minutes"),
        ("cors_origins", ["example.com"], "stages.dev.cors_origins.0"),
        ("cors_origins", [], "stages.dev.cors_origins"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(key: str, value: Any, named: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"dev": {key: value}}, "dev")
    assert named in str(refused.value)


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"dev": {"retain_date": True, "sign_up": "everyone"}}, "dev")
    assert "retain_date" in str(refused.value)
    assert "stages.dev.sign_up" in str(refused.value)


def test_an_unknown_stage_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"no stage 'test' .* local, dev, prod"):
        load_settings(CONTEXT["stages"], "test")


@pytest.mark.parametrize("name", ["dev-two", "Dev", "x", "averyverylongname", "1dev"])
def test_a_stage_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="stage"):
        load_settings({name: {}}, name)


def test_an_existing_pool_keeps_its_own_sign_up_rules() -> None:
    with pytest.raises(SettingsError, match="existing_user_pool"):
        load_settings({"dev": {"existing_user_pool": POOL, "sign_up": "open"}}, "dev")


def test_an_existing_pool_keeps_its_own_clients() -> None:
    with pytest.raises(SettingsError, match="metrics_client"):
        load_settings({"dev": {"existing_user_pool": POOL, "metrics_client": True}}, "dev")


def test_the_defaults_are_the_safe_ones() -> None:
    settings = load_settings({"dev": {}}, "dev")
    assert (settings.retain_data, settings.sign_up, settings.auto_confirm) == (True, "invite", False)
    assert settings.training_instance_types == {"ml.m5.large": 2}
    assert settings.password_minimum_length == 8
    assert settings.import_buckets == []


@pytest.mark.parametrize("name", list(STAGES))
def test_the_stages_of_cdk_json_are_accepted(name: str) -> None:
    assert load_settings(STAGES, name).stage == name
