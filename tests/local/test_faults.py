"""Planted faults hit the calls they name, and only where faults are allowed.

Run: pytest tests/local/test_faults.py -q
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests
from botocore.exceptions import ClientError

from local.faults import BadFault, Faults
from tests.local.small import Small


@pytest.fixture
def planted(small: Small) -> Iterator[Small]:
    """The platform, without faults again afterwards."""
    yield small
    small.faults()


def attempt(small: Small) -> str:
    """The error code of one DynamoDB read, or nothing."""
    try:
        small.client("dynamodb").get_item(TableName=small.stack["Table"], Key={"id": {"S": "x"}})
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def test_only_the_named_calls_fail(planted: Small) -> None:
    planted.faults(service="dynamodb", operation="GetItem", calls=[2], error="ThrottlingException")
    assert [attempt(planted) for _ in range(3)] == ["", "ThrottlingException", ""]


def test_every_call_fails_until_faults_are_cleared(planted: Small) -> None:
    planted.faults(service="dynamodb", operation="GetItem", error="InternalServerError")
    assert [attempt(planted) for _ in range(2)] == ["InternalServerError"] * 2
    planted.faults()
    assert attempt(planted) == ""


def test_fault_of_an_xml_service_is_readable(planted: Small) -> None:
    planted.faults(service="s3", operation="GetObject", error="SlowDown", message="Please reduce your rate.")
    with pytest.raises(ClientError) as error:
        planted.client("s3").get_object(Bucket=planted.stack["Bucket"], Key="x")
    assert error.value.response["Error"]["Code"] == "SlowDown"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_unusable_fault_is_refused_with_the_reason(small: Small) -> None:
    answer = requests.post(f"{small.emulator_url}/_slipway/faults", json={"operation": "GetItem"})
    assert answer.status_code == 400
    assert "service" in answer.json()["detail"]


@pytest.mark.parametrize(
    "fault",
    [
        "[]",
        "{",
        '{"events": "maybe"}',
        '{"surprise": 1}',
        '{"service": "s", "operation": "o", "error": "E", "calls": [0]}',
    ],
)
def test_every_malformed_fault_is_refused(fault: str) -> None:
    with pytest.raises(BadFault):
        Faults().plant(fault.encode())


def test_quota_and_waits_are_kept_until_cleared() -> None:
    faults = Faults()
    faults.plant(
        json.dumps({"quota": {"ml.m5.large": 0}, "capacity_wait": {"ml.m5.large": 2}, "events": "drop"}).encode()
    )
    assert (faults.quota, faults.capacity_wait, faults.events) == ({"ml.m5.large": 0}, {"ml.m5.large": 2}, "drop")
    faults.clear()
    assert (faults.quota, faults.capacity_wait, faults.events) == ({}, {}, "")
