"""Statistics: what they count is what happened, in as many reads as there are lines to show.

Run: python -m pytest tests/api/test_stats.py
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from lambdas.common import aws
from lambdas.jobs.service import JOBS
from tests.api import registry
from tests.api.client import ApiClient
from tests.api.crashes import deaths
from tests.api.datasets import processed
from tests.api.jobs import created, datasets_handler, end, new_job, of, record, recover, table
from tests.api.test_models_crashes import recover as recover_models


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("jobs")


@pytest.fixture
def stats(api: Callable[..., ApiClient], ada: ApiClient) -> ApiClient:
    return api("stats", username=ada.username)


@contextmanager
def items_read() -> Iterator[list[int]]:
    """Count the items that DynamoDB answers with, request by request."""
    counts: list[int] = []

    def count(parsed: dict[str, Any], **_: Any) -> None:
        lists = [parsed.get("Items", []), *parsed.get("Responses", {}).values()]
        counts.append(sum(map(len, lists)) + ("Item" in parsed))

    events = aws.client("dynamodb").meta.events
    events.register("after-call.dynamodb", count)
    try:
        yield counts
    finally:
        events.unregister("after-call.dynamodb", count)


def ran(ada: ApiClient, dataset: str, outcome: str | None, seconds: int = 0, **changes: Any) -> dict[str, Any]:
    """Create a job and end it like that, None for not at all."""
    job = created(ada, new_job(dataset, **changes))
    if outcome:
        JOBS.update(record(job), started_at=started(seconds))
        end(job, outcome)
    return job


def started(seconds: int) -> str:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds, UTC).isoformat()


class TestModels:
    def test_runs_are_counted_per_model_by_what_became_of_them(
        self, ada: ApiClient, stats: ApiClient, api: Callable[..., ApiClient]
    ) -> None:
        dataset = table(ada)
        registry.ready(api("models", username=ada.username), model_id="kinds", name="Kinds")
        registry.ready(api("models", username=ada.username), model_id="never-run")
        ran(ada, dataset, "completed", seconds=1800, model_id="kinds")
        ran(ada, dataset, "failed", seconds=900, model_id="kinds")
        ran(ada, dataset, "cancelled", model_id="kinds")
        last = ran(ada, dataset, None, model_id="kinds")
        kinds, never = stats.get("/stats/models").body["items"]
        assert kinds["runs"] == {"total": 4, "active": 1, "completed": 1, "failed": 1, "cancelled": 1}
        assert kinds["instance_hours"] == pytest.approx(0.75, abs=0.01)
        assert (kinds["last_run_at"], kinds["last_job_id"]) == (last["created_at"], last["id"])
        details = {"model_id": "kinds", "name": "Kinds", "latest_version": "v1", "framework": "sklearn"}
        assert details.items() <= kinds.items() and kinds["last_training_type"] == "tabular"
        assert (kinds["user_id"], kinds["deployed"], kinds["endpoints"]) == (ada.username, False, [])
        assert never["runs"]["total"] == 0 and never["last_run_at"] is None

    def test_a_deleted_job_stays_counted(self, ada: ApiClient, stats: ApiClient, api: Callable[..., ApiClient]) -> None:
        registry.ready(api("models", username=ada.username), model_id="kinds")
        job = ran(ada, table(ada), "failed", model_id="kinds")
        assert ada.delete(f"/jobs/{job['id']}").status == 204
        assert stats.get("/stats/models").body["items"][0]["runs"]["failed"] == 1

    @pytest.mark.thorough
    def test_reads_grow_with_the_lines_shown_and_not_with_the_runs(
        self, ada: ApiClient, stats: ApiClient, api: Callable[..., ApiClient]
    ) -> None:
        dataset = table(ada)
        for name in ("one", "two", "three"):
            registry.ready(api("models", username=ada.username), model_id=name)
            ran(ada, dataset, "failed", model_id=name)
        with items_read() as few:
            assert len(stats.get("/stats/models").body["items"]) == 3
        for _ in range(12):
            ran(ada, dataset, "failed", model_id="one")
        with items_read() as many:
            found = stats.get("/stats/models").body["items"]
        assert {item["model_id"]: item["runs"]["total"] for item in found} == {"one": 13, "two": 1, "three": 1}
        assert sum(many) == sum(few) == 9, "a pointer, a version and a counter per model"
        page = stats.get("/stats/models?limit=2").body
        rest = stats.get(f"/stats/models?limit=2&cursor={page['next_cursor']}").body
        assert page["items"] + rest["items"] == found

    def test_others_see_what_is_shared_and_an_admin_everything(
        self, ada: ApiClient, api: Callable[..., ApiClient]
    ) -> None:
        models = api("models", username=ada.username)
        registry.ready(models, model_id="open")
        registry.ready(models, model_id="closed")
        assert models.put(f"/ai-models/{ada.username}/open", {"visibility": "shared"}).status == 200
        url = f"/stats/models?user_id={ada.username}"

        def seen(client: ApiClient) -> list[str]:
            return [item["model_id"] for item in client.get(url).body["items"]]

        assert seen(api("stats", username=ada.username)) == ["closed", "open"]
        assert seen(api("stats")) == seen(api("stats", group="viewer")) == ["open"]
        assert seen(api("stats", group="admin")) == ["closed", "open"]


class TestContributions:
    def test_a_member_sees_what_they_did(self, ada: ApiClient, stats: ApiClient, api: Callable[..., ApiClient]) -> None:
        empty = stats.get("/stats/contributions").body["items"]
        assert [(item["user_id"], item["runs"]["total"], item["datasets"]) for item in empty] == [(ada.username, 0, 0)]
        dataset = table(ada)
        registry.ready(api("models", username=ada.username))
        ran(ada, dataset, "completed", seconds=3600)
        ran(ada, dataset, None)
        with items_read() as items:
            (found,) = stats.get("/stats/contributions").body["items"]
        assert found["runs"] == {"total": 2, "active": 1, "completed": 1, "failed": 0, "cancelled": 0}
        assert found["instance_hours"] == pytest.approx(1, abs=0.01)
        assert (found["datasets"], found["model_versions_registered"]) == (1, 1)
        assert found["dataset_bytes"] > 0 and found["model_bytes"] == len(registry.CONFIG)
        assert sum(items) == 4, "one item of each noun, and one for models' bytes"

    def test_an_admin_sees_everybody_page_by_page(self, ada: ApiClient, api: Callable[..., ApiClient]) -> None:
        import os

        for name in (ada.username, f"{ada.username}-b", f"{ada.username}-c"):
            boto3.client("cognito-idp").admin_create_user(UserPoolId=os.environ["USER_POOL_ID"], Username=name)
        ran(ada, table(ada), "failed")
        admin, found, cursor = api("stats", group="admin"), {}, ""
        while True:
            with items_read() as items:
                page = admin.get(f"/stats/contributions?limit=2{cursor}").body
            assert sum(items) <= 4 * 2
            found |= {item["user_id"]: item["runs"]["failed"] for item in page["items"]}
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found[ada.username] == 1 and found[f"{ada.username}-b"] == 0


class TestDashboard:
    def test_it_counts_what_there_is(self, ada: ApiClient, stats: ApiClient, api: Callable[..., ApiClient]) -> None:
        files, models = ApiClient(datasets_handler(), ada.username), api("models", username=ada.username)
        dataset, other = table(ada), processed(files)
        ran(ada, dataset, "completed")
        running = JOBS.update(
            record(ran(ada, dataset, None)), status="running", stage="training", started_at=started(9)
        )
        ran(ada, dataset, None)
        for name in ("one", "two"):
            registry.ready(models, model_id=name)
        page = stats.get("/dashboard").body
        assert page["scope"] == "yours" and page["datasets"]["total"] == 2
        storage = page["storage"]
        assert page["datasets"]["bytes"] == storage["dataset_bytes"] < storage["quota_bytes"]
        assert storage["model_bytes"] == 2 * len(registry.CONFIG)
        assert storage["used_bytes"] == storage["dataset_bytes"] + storage["model_bytes"]
        assert page["trainings"] == {"active": 2, "running": 1, "waiting": 1}
        assert page["models"]["yours"] == 2 and page["models"]["shared_by_you"] == 0
        (holder,) = page["holders"]
        assert (holder["user_id"], holder["kind"], holder["id"]) == (ada.username, "job", running.id)
        today = page["activity"][-1]
        assert len(page["activity"]) == 14 and today["day"] == f"{datetime.now(UTC):%Y-%m-%d}"
        assert (today["created"], today["completed"], today["failed"]) == (3, 1, 0)

        assert files.delete(f"/datasets/{other['id']}").status == 204
        assert models.delete(f"/ai-models/{ada.username}/one?version=v1").status == 204
        page = stats.get("/dashboard?days=3").body
        assert page["storage"]["model_bytes"] == len(registry.CONFIG)
        assert (page["datasets"]["total"], page["models"]["yours"], len(page["activity"])) == (1, 1, 3)

    def test_what_others_share_is_counted_as_it_comes_and_goes(
        self, ada: ApiClient, stats: ApiClient, api: Callable[..., ApiClient]
    ) -> None:
        bob = api("models")
        for name in ("one", "two"):
            registry.ready(bob, model_id=name)

        def shared() -> tuple[int, int]:
            mine = stats.get("/dashboard").body["models"]["shared_with_you"]
            his = api("stats", username=bob.username).get("/dashboard").body["models"]
            return mine, his["shared_by_you"]

        before, none = shared()
        for name in ("one", "two"):
            bob.put(f"/ai-models/{bob.username}/{name}", {"visibility": "shared"})
            bob.put(f"/ai-models/{bob.username}/{name}", {"visibility": "shared", "name": "Renamed"})
        assert (none, shared()) == (0, (before + 2, 2))
        bob.put(f"/ai-models/{bob.username}/one", {"visibility": "private"})
        assert shared() == (before + 1, 1)
        bob.delete(f"/ai-models/{bob.username}/two?version=v1")
        assert shared() == (before, 0)

    @pytest.mark.thorough
    def test_reads_grow_with_what_is_under_way_and_not_with_what_ever_was(
        self, ada: ApiClient, stats: ApiClient
    ) -> None:
        dataset = table(ada)
        ran(ada, dataset, None)
        with items_read() as few:
            stats.get("/dashboard")
        for _ in range(15):
            ran(ada, dataset, "failed")
        with items_read() as many:
            page = stats.get("/dashboard").body
        assert page["activity"][-1]["failed"] == 15
        assert sum(many) == sum(few)
        print(f"\ndashboard: {sum(few)} items in {len(few)} requests, after 1 job and after 16")

    def test_an_admin_sees_everybodys_trainings(self, ada: ApiClient, api: Callable[..., ApiClient]) -> None:
        job = ran(ada, table(ada), None)
        JOBS.update(record(job), status="running", stage="training", started_at=started(5))
        page = api("stats", group="admin").get("/dashboard").body
        assert page["scope"] == "everybody" and page["trainings"]["running"] >= 1
        assert job["id"] in [holder["id"] for holder in page["holders"]]
        assert page["activity"][-1]["created"] >= 1
        assert job["id"] not in [holder["id"] for holder in api("stats").get("/dashboard").body["holders"]]

    def test_a_part_that_does_not_answer_is_missing_and_the_rest_is_there(self, stats: ApiClient) -> None:
        page = stats.get("/dashboard").body  # this AWS has no such queues
        assert (page["queues"], page["system"]) == (None, {"status": "degraded", "missing": ["queues"]})


@pytest.mark.thorough
def test_counts_are_true_whatever_dies(ada: ApiClient, stats: ApiClient) -> None:
    dataset = table(ada)
    for _ in deaths(lambda: ada.post("/jobs", new_job(dataset))):
        recover(ada.username)
        jobs = of(ada.username)
        (found,) = stats.get("/stats/contributions").body["items"]
        assert found["runs"]["total"] == found["runs"]["active"] == len(jobs)
    end({"user_id": ada.username, "id": of(ada.username)[0].id})
    end({"user_id": ada.username, "id": of(ada.username)[0].id})  # again
    (found,) = stats.get("/stats/contributions").body["items"]
    assert (found["runs"]["failed"], found["runs"]["active"]) == (1, len(of(ada.username)) - 1)


@pytest.mark.thorough
@pytest.mark.slow
def test_the_bytes_of_models_are_true_whatever_dies(stats: ApiClient, api: Callable[..., ApiClient]) -> None:
    models = api("models", username=stats.username)

    def counted() -> int:
        return stats.get("/dashboard").body["storage"]["model_bytes"]

    def stored() -> int:
        return len(registry.CONFIG) * len(models.get(f"/ai-models/{stats.username}").body["items"])

    made = [registry.single(models, model_id="scanned").body]
    for _ in deaths(lambda: registry.scan_now(made[0])):
        registry.scan_now(made[0])
        assert counted() == stored()
        assert models.delete(f"/ai-models/{stats.username}/scanned?version=v1").status == 204
        assert counted() == stored() == 0
        made[0] = registry.single(models, model_id="scanned").body
    for _ in deaths(lambda: models.delete(f"/ai-models/{stats.username}/scanned?version=v1")):
        recover_models(stats.username)
        assert counted() == stored()
        if not stored():
            registry.ready(models, model_id="scanned")
