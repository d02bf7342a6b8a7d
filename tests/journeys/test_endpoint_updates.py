"""Endpoints are updated while they are called: no call fails, and a version that does not work is rolled back.

Run: python -m pytest tests/journeys/test_endpoint_updates.py -s
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config

from local.api_client import ApiClient
from local.home import REGION
from tests.journeys import stub_models
from tests.journeys.open_loop import Seen, load
from tests.journeys.test_train_and_deploy import gone
from tests.platform import Platform

KINDS = ["good", "good", "sick", "broken", "slow"]  # of the versions v1 to v5
CHANGES = [("v2", "v2"), ("v3", "v1"), ("v4", "v1"), ("v5", "v5")]  # from v1, and what serves then
CLIENTS = 4


@pytest.fixture(scope="module")
def model(platform: Platform, trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a model with a version of each kind."""
    stub_models.install(platform, tmp_path_factory.mktemp("image"))
    return stub_models.register(platform, trained, KINDS)


@pytest.fixture
def endpoint(platform: Platform, member: ApiClient, model: str) -> Iterator[dict[str, Any]]:
    """An endpoint that serves v1; once it is taken down, nothing of it is left."""
    made = deployed(member, model, "v1")
    yield made
    taken_down(platform, member, made["id"])


def deployed(member: ApiClient, model: str, version: str, **more: Any) -> dict[str, Any]:
    body = {"name": "Live", "model": {"model_id": model, "version": version}} | more
    made = member.call("POST", "/endpoints", body)
    found = member.wait(f"/endpoints/{made['id']}", "in_service", "failed")
    assert found["status"] == "in_service", found
    return found


def taken_down(platform: Platform, member: ApiClient, id: str) -> None:
    """Delete an endpoint; nothing of it is left at SageMaker, CloudWatch or Application Auto Scaling."""
    member.call("DELETE", f"/endpoints/{id}")
    assert gone(member, f"/endpoints/{id}")
    sagemaker, name = platform.client("sagemaker"), f"slipway-local-{id}"
    for kind in ("Model", "EndpointConfig", "Endpoint"):
        operation = {"Model": "list_models", "EndpointConfig": "list_endpoint_configs", "Endpoint": "list_endpoints"}
        found = getattr(sagemaker, operation[kind])(NameContains=name)[f"{kind}s"]
        assert found == [], found
    alarms = platform.client("cloudwatch").describe_alarms(AlarmNamePrefix=name)["MetricAlarms"]
    targets = platform.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    assert alarms == [] and [t for t in targets["ScalableTargets"] if name in t["ResourceId"]] == []


def changed(member: ApiClient, endpoint: dict[str, Any], model: str, version: str) -> dict[str, Any]:
    """Update an endpoint to a version; return it once that is over."""
    path = f"/endpoints/{endpoint['id']}"
    begun = member.call("PATCH", path, {"model": {"model_id": model, "version": version}})
    assert (begun["status"], begun["updating_to"]["version"]) == ("updating", version)
    return member.wait(path, "in_service", "failed")


def through_the_api(member: ApiClient, endpoint: dict[str, Any]) -> Callable[[], str]:
    """A call as users make it: the version that answers, or the status."""
    headers = {"Authorization": str(member.session.headers["Authorization"]), "Content-Type": "application/json"}

    def call() -> str:
        answer = requests.post(endpoint["url"], data=b"[]", headers=headers, timeout=30)
        return answer.json()["version"] if answer.ok else str(answer.status_code)

    return call


def at_sagemaker(platform: Platform, endpoint: dict[str, Any]) -> Callable[[], str]:
    """A call without the API, as programs with AWS credentials make it, and never again."""
    key = platform.files.root_key()
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=platform.emulator_url,
        region_name=REGION,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=64),
    )

    def call() -> str:
        answer = runtime.invoke_endpoint(EndpointName=f"slipway-local-{endpoint['id']}", Body=b"[]")
        return json.loads(answer["Body"].read())["version"]

    return call


def report(what: str, seen: Seen) -> None:
    print(f"\n{what}: {dict(seen.counts())}, failed {dict(seen.failed())}\n{seen.by_second()}")


def test_a_good_version_takes_over_and_a_broken_one_does_not_without_a_failed_call(
    platform: Platform, member: ApiClient, endpoint: dict[str, Any], model: str
) -> None:
    with load(at_sagemaker(platform, endpoint), per_second=10) as seen:
        good = changed(member, endpoint, model, "v2")
        broken = changed(member, endpoint, model, "v4")
    report("good, then one that does not start", seen)
    assert (good["model"]["version"], good["reason"]) == ("v2", None)
    assert (broken["model"]["version"], broken["status"]) == ("v2", "in_service")
    assert "this model cannot be loaded" in broken["reason"]
    assert not seen.failed() and set(seen.counts()) == {"v1", "v2"}
    assert through_the_api(member, endpoint)() == "v2"


def test_a_version_that_answers_errors_is_rolled_back(
    platform: Platform, member: ApiClient, endpoint: dict[str, Any], model: str
) -> None:
    with load(at_sagemaker(platform, endpoint), per_second=10) as seen:
        sick = changed(member, endpoint, model, "v3")
    report("one that answers 500", seen)
    assert (sick["model"]["version"], sick["status"]) == ("v1", "in_service")
    assert f"The alarm slipway-local-{endpoint['id']}-2 is in the state ALARM" in sick["reason"]
    assert set(seen.counts()) == {"v1", "ModelError"}, "what a container answers is passed on, until its alarm fires"
    assert through_the_api(member, endpoint)() == "v1"


@pytest.mark.slow
@pytest.mark.parametrize(("version", "serves"), CHANGES)
def test_under_load_at_sagemaker(
    version: str, serves: str, platform: Platform, member: ApiClient, endpoint: dict[str, Any], model: str
) -> None:
    call = at_sagemaker(platform, endpoint)
    with load(call, per_second=30) as seen:
        found = changed(member, endpoint, model, version)
    assert_kept_answering(found, version, serves, seen, failure="ModelError")
    assert call() == serves


@pytest.mark.slow
@pytest.mark.parametrize(("version", "serves"), CHANGES)
def test_under_load_through_the_api(
    version: str, serves: str, member: ApiClient, endpoint: dict[str, Any], model: str
) -> None:
    call = through_the_api(member, endpoint)
    most = capacity(call)
    print(f"\nwithout an update, {CLIENTS} clients get {most:.1f} answers a second")
    with load(call, per_second=most / 3) as seen:  # the update needs the same processors
        found = changed(member, endpoint, model, version)
    assert_kept_answering(found, version, serves, seen, failure="502")
    assert call() == serves


def capacity(call: Callable[[], str]) -> float:
    """How many calls a second are answered when each client calls again once it is answered."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda _: call(), range(CLIENTS * 5)))  # until the functions are warm
        begun = time.monotonic()
        answers = list(clients.map(lambda _: call(), range(CLIENTS * 25)))
        took = time.monotonic() - begun
    assert set(answers) == {"v1"}, answers
    return len(answers) / took


def assert_kept_answering(found: dict[str, Any], version: str, serves: str, seen: Seen, failure: str) -> None:
    """No call failed, but for those that a version which answers errors got before its alarm."""
    kind = KINDS[int(version[1:]) - 1]
    report(kind, seen)
    assert (found["model"]["version"], found["status"]) == (serves, "in_service")
    failed = seen.failed()
    if kind == "sick":
        assert set(failed) == {failure} and failed[failure] < len(seen.answers) / 2
    else:
        assert not failed


def test_an_asynchronous_answer_is_fetched_and_a_serverless_endpoint_scales_by_itself(
    platform: Platform, member: ApiClient, model: str
) -> None:
    later = deployed(member, model, "v1", kind="async")
    taken = member.request("POST", f"/endpoints/{later['id']}/invoke", json=[1])
    assert taken.status_code == 202
    path = f"/endpoints/{later['id']}/inferences/{taken.json()['inference_id']}"
    ended = member.wait(path, "completed", "failed")
    assert requests.get(ended["output_url"], timeout=10).json()["version"] == "v1"
    large = b"x" * 5_000_000
    asked = {"size": len(large), "content_type": "application/octet-stream"}
    made = member.call("POST", f"/endpoints/{later['id']}/inferences", asked)
    upload = made["upload"]
    requests.put(upload["url"], data=large, headers=upload["headers"], timeout=30).raise_for_status()
    path = f"/endpoints/{later['id']}/inferences/{made['inference_id']}"
    member.call("POST", f"{path}/start")
    ended = member.wait(path, "completed", "failed")
    assert requests.get(ended["output_url"], timeout=10).json()["bytes"] == len(large)

    serverless = deployed(member, model, "v1", kind="serverless", serverless={"memory_mb": 1024})
    assert (serverless["network_isolation"], serverless["instance_type"]) == (False, None)
    assert through_the_api(member, serverless)() == "v1"
    assert changed(member, serverless, model, "v2")["model"]["version"] == "v2"
    for found in (later, serverless):
        taken_down(platform, member, found["id"])


def test_a_scaled_endpoint_is_registered_and_leaves_nothing(platform: Platform, member: ApiClient, model: str) -> None:
    autoscaling = {"max_instances": 2, "invocations_per_instance": 60}
    made = deployed(member, model, "v1", autoscaling=autoscaling)
    assert made["autoscaling"] == {"min_instances": 1} | autoscaling and made["reason"] is None
    name = f"endpoint/slipway-local-{made['id']}/variant/main"
    scaling = platform.client("application-autoscaling")
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=name)["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60
    taken_down(platform, member, made["id"])
