"""What one user may train: the limits hold whoever asks at the same moment, and what has ended counts no more.

Run: python -m pytest tests/api/test_jobs_limits.py -s
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from lambdas.jobs import limits
from lambdas.jobs.service import JOBS
from tests.api.client import ApiClient
from tests.api.jobs import created, end, new_job, of, record, table, under_way
from tests.api.together import at_once

pytestmark = pytest.mark.thorough

HOUR = 3600


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("jobs")


@pytest.mark.parametrize("change", [{}, {"hold": True}])
def test_of_50_at_once_no_more_begin_than_may(
    ada: ApiClient, monkeypatch: pytest.MonkeyPatch, change: dict[str, bool]
) -> None:
    monkeypatch.setenv("MAX_JOBS_PER_USER", "7")
    dataset = table(ada)
    if change:  # held ones do not count: all are created, and 7 of them can be started
        held = [created(ada, new_job(dataset, **change)) for _ in range(12)]
        answers = at_once(50, lambda number: ada.post(f"/jobs/{held[number % 12]['id']}/start"))
    else:
        answers = at_once(50, lambda number: ada.post("/jobs", new_job(dataset)))
    statuses = Counter(answer.status for answer in answers)
    accepted = {answer.body["id"] for answer in answers if answer.status in (201, 202)}  # some are started twice
    assert len(accepted) == 7 and set(statuses) <= {201, 202, 409, 429}
    refused = next(answer for answer in answers if answer.status == 429)
    assert (refused.body["code"], refused.headers["retry-after"]) == ("too_many_requests", "60")
    assert len(under_way(ada.username)) == len([job for job in of(ada.username) if job.stage == "queued"]) == 7
    assert ada.get("/jobs/usage").body["jobs"] == 7
    for job in of(ada.username):
        end({"user_id": job.owner, "id": job.id})
    usage = ada.get("/jobs/usage").body
    assert (usage["jobs"], usage["instance_hours"]) == (0, 0)
    assert created(ada, new_job(dataset))["stage"] == "queued"


def test_of_50_at_once_no_more_hours_are_given_than_there_are(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_JOBS_PER_USER", "100")
    monkeypatch.setenv("MAX_INSTANCE_HOURS_PER_USER", "12")
    wanted = new_job(table(ada), max_runtime_seconds=2 * HOUR)
    answers = at_once(50, lambda number: ada.post("/jobs", wanted))
    assert Counter(answer.status for answer in answers) == {201: 6, 429: 44}
    usage = ada.get("/jobs/usage").body
    assert (usage["instance_hours"], usage["max_instance_hours"], usage["jobs"]) == (12, 12, 6)


def test_a_job_that_has_ended_counts_with_the_time_it_took(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_INSTANCE_HOURS_PER_USER", "12")
    job = created(ada, new_job(table(ada), max_runtime_seconds=10 * HOUR))
    assert ada.get("/jobs/usage").body["instance_hours"] == 10
    refused = ada.post("/jobs", new_job(table(ada), max_runtime_seconds=3 * HOUR))
    assert refused.status == 429 and "3.0 instance-hours" in refused.body["detail"]
    started = datetime.now(UTC) - timedelta(hours=4)
    JOBS.update(record(job), status="running", stage="training", started_at=started.isoformat())
    end(job)
    assert ada.get("/jobs/usage").body["instance_hours"] == 4


def test_a_job_that_could_never_run_says_so(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_INSTANCE_HOURS_PER_USER", "1")
    refused = ada.post("/jobs", new_job(table(ada), max_runtime_seconds=2 * HOUR))
    assert refused.status == 429
    assert int(refused.headers["retry-after"]) <= 31 * 24 * HOUR
    assert ada.get("/jobs/usage").body["jobs"] == 0


def test_one_users_jobs_do_not_count_against_another(
    api: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_JOBS_PER_USER", "1")
    for client in (api("jobs"), api("jobs")):
        assert created(client, new_job(table(client)))["stage"] == "queued"


def test_the_next_month_begins_when_it_does() -> None:
    assert limits.month_of(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)) == "2026-12"
    assert limits.seconds_left(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)) == 2
    assert limits.seconds_left(datetime(2026, 2, 1, tzinfo=UTC)) == 28 * 24 * HOUR + 1
