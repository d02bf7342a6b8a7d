"""Kinds of endpoints, their changes and their calls, over the API, on our SageMaker.

Run: python -m pytest tests/api/test_endpoint_changes.py
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import requests

from lambdas.common import aws, prices, waits
from lambdas.common.store import iso
from lambdas.endpoints import update_tasks
from lambdas.endpoints.service import ENDPOINTS
from lambdas.models.records import MODELS
from tests.api.client import ApiClient
from tests.api.conftest import forget_clients, physical
from tests.api.sagemaker import our_sagemaker
from tests.api.serving import TOKEN, Serving, names_of, scaled
from tests.local.services import ServicesProcess, until
from tests.local.test_sagemaker_endpoints import archive

# `sick` answers 500, `broken` does not start, `slow` takes its time; else an answer that says who gave it.
SERVE = """
import http.server, json, os, pathlib, sys, time
model = (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/model.txt").read_text()
if model == "broken":
    sys.exit("cannot load the model")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, {})
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"wait":
            time.sleep(1.5)
        if body == b"wrong":
            return self.reply(400, {"detail": "a number was expected"})
        given = {name: self.headers[name] for name in ("Content-Type", "Accept")}
        answer = {"model": model, "bytes": len(body), "detail": "no memory", **given}
        self.reply(500 if model == "sick" else 200, answer)
    def reply(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""
pytestmark = pytest.mark.thorough
SCALING = {"min_instances": 1, "max_instances": 3, "invocations_per_instance": 70.0}


@pytest.fixture(scope="module")
def sagemaker(stage: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServicesProcess]:
    with our_sagemaker(tmp_path_factory.mktemp("sagemaker"), SERVE) as services:
        yield services


@pytest.fixture
def serving(sagemaker: ServicesProcess, api: Callable[..., ApiClient]) -> Iterator[Serving]:
    found = Serving(sagemaker, api)
    yield found
    for endpoint in found.records():
        found.ada.delete(f"/endpoints/{endpoint.id}")
        found.tear_down(endpoint.id)


def replace(serving: Serving, version: str, model: str) -> None:
    """Let a version's archive hold another model."""
    found = MODELS.get(serving.owner, serving.versions[version])
    body = archive({"model.txt": model})
    boto3.client("s3").put_object(Bucket=physical("MODELS_BUCKET"), Key=found.model_archive or "", Body=body)


class TestUpdate:
    def test_another_version_takes_over_and_the_old_one_goes(self, serving: Serving) -> None:
        id = serving.in_service()
        changed = serving.change(id, "v2").body
        assert (changed["status"], changed["updating_to"]["version"]) == ("updating", "v2")
        assert changed["model"]["version"] == "v1"
        assert serving.invoke(id).body["model"] == "first", "it answers while it is updated"
        held = [MODELS.get(serving.owner, version).holds for version in serving.versions.values()]
        assert held == [{id}, {id}]
        serving.update(id)
        found = serving.ada.get(f"/endpoints/{id}").body
        assert (found["status"], found["model"]["version"], found["updating_to"]) == ("in_service", "v2", None)
        assert serving.invoke(id).body["model"] == "second"
        serving.assert_true()

    @pytest.mark.parametrize(("model", "words"), [("broken", "cannot load the model"), ("sick", "ALARM")])
    def test_a_version_that_fails_is_rolled_back_and_the_endpoint_says_why(
        self, model: str, words: str, serving: Serving
    ) -> None:
        id = serving.in_service()
        replace(serving, "v2", model)
        serving.change(id, "v2")
        serving.step(id, "prepare_update")
        serving.step(id, "update_endpoint", token=TOKEN)
        until(lambda: serving.invoke(id).status if model == "sick" else 502, lambda status: status == 502)
        serving.settled(id)
        serving.step(id, "settle_update")
        found = serving.ada.get(f"/endpoints/{id}").body
        assert (found["status"], found["model"]["version"]) == ("in_service", "v1")
        assert "The update to forest v2 failed" in found["reason"] and words in found["reason"]
        serving.assert_true()
        replace(serving, "v2", "second")
        serving.change(id, "v2")
        assert serving.record(id).update is not None and serving.record(id).deployments == 3
        serving.update(id)
        assert serving.ada.get(f"/endpoints/{id}").body["reason"] is None
        serving.assert_true()

    def test_names_change_at_once_and_what_stays_changes_nothing(self, serving: Serving) -> None:
        id = serving.in_service()
        assert serving.ada.patch(f"/endpoints/{id}", {"name": "Other"}).body["name"] == "Other"
        same = serving.ada.patch(f"/endpoints/{id}", {"instance_count": 1, "name": "Third"}).body
        assert (same["status"], same["name"]) == ("in_service", "Third")
        assert [found for _, found in waits.under_way("ep-") if found == id] == []

    def test_a_rename_meanwhile_does_not_break_the_update(self, serving: Serving) -> None:
        id = serving.in_service()
        serving.change(id, "v2")
        stale = serving.record(id)
        assert serving.ada.patch(f"/endpoints/{id}", {"name": "Other"}).status == 200
        update_tasks.prepare_update(stale, {})
        update_tasks.update_endpoint(stale, {"token": TOKEN})
        assert (update := serving.record(id).update) and update.begun
        serving.settled(id)
        serving.step(id, "settle_update")
        assert (serving.record(id).name, serving.record(id).model.version) == ("Other", "v2")

    def test_one_update_at_a_time_and_no_deletion_meanwhile(self, serving: Serving) -> None:
        id = serving.in_service()
        serving.change(id, "v2")
        assert serving.change(id, "v1").status == 409
        assert serving.ada.delete(f"/endpoints/{id}").status == 409
        serving.update(id)

    def test_other_instances_are_an_update_too(self, serving: Serving) -> None:
        id = serving.in_service()
        answer = serving.ada.patch(f"/endpoints/{id}", {"instance_count": 2, "instance_type": "ml.g5.xlarge"})
        assert answer.body["status"] == "updating"
        serving.update(id)
        found = serving.record(id)
        assert (found.instance_count, found.instance_type, found.deployment) == (2, "ml.g5.xlarge", 2)
        serving.assert_true()

    def test_hours_on_other_instances_stay_at_the_price_of_those(
        self, serving: Serving, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        each = {
            "ml.m5.large": {"hosting": {"usd": 1, "source": "x"}},
            "ml.g5.xlarge": {"hosting": {"usd": 4, "source": "x"}},
        }
        monkeypatch.setattr(prices, "table", lambda: {"regions": {"us-east-1": each}, "sources": {"x": "Of a test."}})
        id = serving.in_service()

        def costs(hours: float) -> tuple[float, float]:
            """Per hour and so far, once the present run is so old."""
            started = iso(datetime.now(UTC) - timedelta(hours=hours))
            ENDPOINTS.update(serving.record(id), started_at=started)
            found = serving.ada.get(f"/endpoints/{id}").body
            return found["cost_per_hour"], round(found["cost_so_far"], 1)

        assert costs(hours=10) == (1, 10)
        serving.ada.patch(f"/endpoints/{id}", {"instance_type": "ml.g5.xlarge"})
        serving.update(id)
        assert costs(hours=2) == (4, 18)
        serving.ada.post(f"/endpoints/{id}/sleep")
        asleep = serving.ada.get(f"/endpoints/{id}").body
        assert (asleep["cost_per_hour"], round(asleep["cost_so_far"], 1)) == (0, 18)

    def test_an_endpoint_that_is_gone_says_so_and_can_be_taken_down(self, serving: Serving) -> None:
        id = serving.in_service()
        serving.change(id, "v2")
        serving.step(id, "prepare_update")
        boto3.client("sagemaker").delete_endpoint(EndpointName=f"slipway-test-{id}")
        serving.settled(id)
        serving.step(id, "settle_update")
        assert serving.record(id).status == "failed"
        serving.ada.delete(f"/endpoints/{id}")
        serving.tear_down(id)
        assert names_of("Model") == names_of("EndpointConfig") == set()
        assert [MODELS.get(serving.owner, version).holds for version in serving.versions.values()] == [set(), set()]

    @pytest.mark.parametrize(
        "body",
        [{"instance_count": 0}, {"instance_type": "ml.p5.48xlarge"}, {"kind": "async"}, {"name": " "}, {"model": {}}],
    )
    def test_what_cannot_be_is_a_400(self, body: dict[str, Any], serving: Serving) -> None:
        id = serving.in_service()
        assert serving.ada.patch(f"/endpoints/{id}", body).status == 400

    def test_a_version_that_is_not_there_is_a_404(self, serving: Serving) -> None:
        id = serving.in_service()
        assert serving.change(id, "v7").status == 404
        assert serving.record(id).status == "in_service"


class TestAutoscaling:
    def test_it_is_registered_changed_and_taken_back(self, serving: Serving) -> None:
        id = serving.in_service(autoscaling=SCALING)
        name = f"slipway-test-{id}"
        assert scaled() == {name}
        answer = serving.ada.patch(f"/endpoints/{id}", {"autoscaling": SCALING | {"max_instances": 5}})
        assert answer.body["status"] == "updating"
        serving.update(id)
        (target,) = boto3.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")[
            "ScalableTargets"
        ]
        assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 5)
        assert serving.record(id).deployment == 1, "scaling alone deploys nothing"
        serving.change(id, "v2")
        serving.update(id)
        assert scaled() == {name}
        serving.ada.patch(f"/endpoints/{id}", {"autoscaling": None})
        serving.update(id)
        assert scaled() == set() and serving.record(id).autoscaling is None

    @pytest.mark.parametrize(
        "wrong", [{"min_instances": 4}, {"max_instances": 11}, {"invocations_per_instance": 0}, {"min_instances": 2}]
    )
    def test_bounds_that_cannot_be_are_a_400(self, wrong: dict[str, Any], serving: Serving) -> None:
        assert serving.create(autoscaling=SCALING | wrong).status == 400


class TestServerless:
    def test_it_has_no_instances_and_says_that_it_is_not_isolated(self, serving: Serving) -> None:
        id = serving.in_service(kind="serverless", serverless={"memory_mb": 1024, "max_concurrency": 2})
        found = serving.ada.get(f"/endpoints/{id}").body
        assert (found["kind"], found["network_isolation"], found["instance_type"]) == ("serverless", False, None)
        config = boto3.client("sagemaker").describe_endpoint_config(EndpointConfigName=f"slipway-test-{id}")
        size = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
        assert config["ProductionVariants"][0]["ServerlessConfig"] == size
        serving.change(id, "v2")
        serving.update(id)
        assert serving.invoke(id).body["model"] == "second"
        refused = serving.ada.patch(f"/endpoints/{id}", {"instance_count": 2})
        assert refused.status == 400 and refused.body["errors"][0]["field"] == "instance_count"
        serving.assert_true()

    def test_a_version_that_is_not_clean_stays_out_whoever_accepts_it(self, serving: Serving) -> None:
        version = MODELS.get(serving.owner, serving.versions["v1"])
        MODELS.update(version, verdict="suspicious", job_id=None)
        refused = serving.create(kind="serverless", accept_risk=True)
        assert refused.status == 409 and "Use kind realtime" in refused.body["detail"]
        id = serving.in_service("v2", kind="serverless")
        body = {"model": {"model_id": "forest", "version": "v1"}, "accept_risk": True}
        assert serving.ada.patch(f"/endpoints/{id}", body).status == 409

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": "serverless", "instance_type": "ml.m5.large"},
            {"kind": "serverless", "serverless": {"memory_mb": 1500}},
            {"kind": "serverless", "serverless": {"max_concurrency": 201}},
            {"kind": "realtime", "serverless": {}},
            {"kind": "async", "autoscaling": SCALING},
            {"kind": "batch"},
        ],
    )
    def test_what_does_not_go_together_is_a_400(self, wrong: dict[str, Any], serving: Serving) -> None:
        assert serving.create(**wrong).status == 400


class TestAsync:
    def ended(self, serving: Serving, url: str) -> dict[str, Any]:
        path = url[url.index("/endpoints/") :]
        return until(lambda: serving.ada.get(path).body, lambda found: found["status"] in ("completed", "failed"))

    def test_an_answer_is_fetched_where_the_call_says(self, serving: Serving) -> None:
        id = serving.in_service(kind="async")
        taken = serving.invoke(id)
        assert (taken.status, taken.body["status"]) == (202, "pending")
        assert taken.headers["location"] == taken.body["url"]
        ended = self.ended(serving, taken.body["url"])
        assert ended["status"] == "completed"
        answer = requests.get(ended["output_url"], timeout=10)
        content = answer.json()
        assert (content["model"], content["bytes"], content["Content-Type"]) == ("first", 1, "text/csv")

    def test_a_large_input_is_uploaded_first(self, serving: Serving) -> None:
        id = serving.in_service(kind="async")
        size = 5 * 1024**2
        refused = serving.ada.call("POST", f"/endpoints/{id}/invoke", "x" * size)
        assert refused.status == 413 and "/inferences" in refused.body["detail"]
        made = serving.ada.post(f"/endpoints/{id}/inferences", {"size": size, "content_type": "image/png"})
        assert (made.status, made.body["status"]) == (201, "uploading")
        path = f"/endpoints/{id}/inferences/{made.body['inference_id']}"
        assert serving.ada.post(f"{path}/start").status == 409
        assert serving.ada.get(path).status == 404
        upload = made.body["upload"]
        longer = upload["headers"] | {"content-length": str(size + 1)}
        too_much = requests.put(upload["url"], data=b"x" * (size + 1), headers=longer, timeout=10)
        assert too_much.status_code == 403
        stored = requests.put(upload["url"], data=b"x" * size, headers=upload["headers"], timeout=10)
        assert stored.status_code == 200, stored.text
        assert serving.ada.get(path).body["status"] == "uploading"
        assert serving.ada.post(f"{path}/start").status == 202
        assert serving.ada.post(f"{path}/start").status == 202, "again, it changes nothing"
        answer = requests.get(self.ended(serving, path)["output_url"], timeout=10).json()
        assert (answer["bytes"], answer["Content-Type"]) == (size, "image/png")

    def test_what_the_container_says_of_a_failure_is_passed_on(self, serving: Serving) -> None:
        id = serving.in_service(kind="async")
        taken = serving.ada.call("POST", f"/endpoints/{id}/invoke", "wrong")
        ended = self.ended(serving, taken.body["url"])
        assert (ended["status"], ended["reason"]) == ("failed", "a number was expected")

    def test_nobody_else_reads_an_answer_and_a_teardown_leaves_none(
        self, serving: Serving, api: Callable[..., ApiClient]
    ) -> None:
        id = serving.in_service(kind="async")
        taken = serving.invoke(id)
        self.ended(serving, taken.body["url"])
        path = f"/endpoints/{id}/inferences/{taken.body['inference_id']}"
        assert api("endpoints").get(path).status == 404
        assert serving.ada.get(f"/endpoints/{id}/inferences/inf-0000000000000000000").status == 404
        assert serving.ada.get(f"/endpoints/{id}/inferences/..%2Fx").status in (400, 404)
        serving.ada.delete(f"/endpoints/{id}")
        serving.tear_down(id)
        listed = boto3.client("s3").list_objects_v2(Bucket=physical("JOBS_BUCKET"), Prefix=f"{serving.owner}/{id}/")
        assert listed["KeyCount"] == 0

    def test_other_kinds_answer_at_once(self, serving: Serving) -> None:
        id = serving.in_service()
        assert serving.ada.post(f"/endpoints/{id}/inferences", {"size": 1}).status == 400


class TestInvoke:
    def test_content_types_go_to_the_container_as_they_came(self, serving: Serving) -> None:
        id = serving.in_service()
        for content_type in ("application/json", "text/csv", "image/png", "text/plain; charset=utf-8"):
            answer = serving.ada.call("POST", f"/endpoints/{id}/invoke", "x", content_type=content_type)
            assert (answer.status, answer.body["Content-Type"]) == (200, content_type)

    def test_a_body_that_is_too_large_names_the_other_way(self, serving: Serving) -> None:
        id = serving.in_service()
        refused = serving.ada.call("POST", f"/endpoints/{id}/invoke", "x" * (4 * 1024**2 + 1))
        assert (refused.status, refused.body["code"]) == (413, "too_large") and "kind async" in refused.body["detail"]

    def test_a_model_that_takes_too_long_is_called_once_and_named(
        self, serving: Serving, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        id = serving.in_service()
        monkeypatch.setattr(aws, "INVOKE_SECONDS", 1)
        forget_clients()
        answer = serving.ada.call("POST", f"/endpoints/{id}/invoke", "wait")
        forget_clients()
        assert (answer.status, answer.body["code"]) == (502, "container_failed")
        assert "did not answer within 1 seconds" in answer.body["detail"] and "kind async" in answer.body["detail"]


def test_a_teardown_gives_the_log_group_an_end(serving: Serving) -> None:
    id = serving.in_service()
    logs, group = boto3.client("logs"), f"/aws/sagemaker/Endpoints/slipway-test-{id}"
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:  # the server has said nothing yet
        logs.create_log_group(logGroupName=group)
    serving.ada.delete(f"/endpoints/{id}")
    serving.tear_down(id)
    (found,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found["retentionInDays"] == 30
    assert ENDPOINTS.list(serving.owner, "ep-", 10, None).items == []
