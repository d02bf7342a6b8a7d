"""What is shown of a job while it runs and after: metrics for plots, its log, its silence, what it uses.

Its records, log and figures are put where the platform's other parts put them.

Run: python -m pytest tests/api/test_jobs_watching.py
"""

import gzip
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import requests

from lambdas.common import aws
from lambdas.common.ids import new_id
from lambdas.common.pages import encode_cursor
from lambdas.jobs import history, logs, tasks, watchdog
from lambdas.jobs.schemas import Attempt, Job, MetricPoint, Progress
from lambdas.jobs.service import JOBS
from tests.api.client import ApiClient
from tests.units.test_jobs import job as job_of

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@pytest.fixture(scope="module", autouse=True)
def log_group(stage: None) -> None:
    """The log group of training."""
    boto3.client("logs").create_log_group(logGroupName=logs.LOG_GROUP)


@pytest.fixture
def client(api: Callable[..., ApiClient]) -> ApiClient:
    return api("jobs")


def stored(owner: str, **changes: Any) -> Job:
    """A job that has run for an hour, unless the changes say otherwise."""
    id = new_id("job")
    attempt = Attempt(
        training_job_arn=f"arn:aws:sagemaker:us-east-1:0:training-job/AWSBatch{id}", training_job_name=f"AWSBatch{id}"
    )
    running = {"status": "running", "stage": "training", "started_at": iso(START), "attempts": [attempt]}
    return JOBS.create(job_of(owner=owner, id=id, **(running | changes)))


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line(sequence: int, **metrics: float) -> MetricPoint:
    at = START + timedelta(seconds=sequence / 10)
    return MetricPoint(sequence=sequence, time=iso(at), percent=1, step=sequence, metrics=metrics)


def printed(job: Job, messages: list[tuple[datetime, str]], stream: str = "algo-1-1") -> None:
    """Put lines into the job's log, as SageMaker does."""
    client, name = boto3.client("logs"), f"{job.attempts[-1].training_job_name}/{stream}"
    try:
        client.create_log_stream(logGroupName=logs.LOG_GROUP, logStreamName=name)
    except client.exceptions.ResourceAlreadyExistsException:
        pass
    events = [{"timestamp": round(at.timestamp() * 1000), "message": message} for at, message in messages]
    for first in range(0, len(events), 5000):
        client.put_log_events(logGroupName=logs.LOG_GROUP, logStreamName=name, logEvents=events[first : first + 5000])


@contextmanager
def counted(operation: str) -> Iterator[list[int]]:
    """Count the items that an operation of DynamoDB answers with."""
    counts: list[int] = []

    def count(parsed: dict[str, Any], **_: Any) -> None:
        counts.append(len(parsed.get("Items", [])))

    events = aws.client("dynamodb").meta.events
    events.register(f"after-call.dynamodb.{operation}", count)
    try:
        yield counts
    finally:
        events.unregister(f"after-call.dynamodb.{operation}", count)


class TestHistory:
    @pytest.mark.parametrize(
        "many", [pytest.param(5_000, marks=pytest.mark.thorough), pytest.param(100_000, marks=pytest.mark.slow)]
    )
    def test_a_plot_reads_items_by_the_points_it_shows_and_not_by_the_lines_there_are(
        self, client: ApiClient, many: int
    ) -> None:
        job = stored(client.username)
        spike = many // 3
        for first in range(1, many + 1, 5000):
            lines = [line(n, loss=1 / n if n != spike else 99.0) for n in range(first, first + 5000)]
            assert history.keep(job, lines) == len(lines)
        history.keep(job, [line(777, loss=1 / 777)])  # delivered again
        for points in (50, 200, 1000):
            with counted("Query") as items:
                found = client.get(f"/jobs/{job.id}/metrics?points={points}").body
            series = found["series"]["loss"]
            assert points / 2 <= len(series) <= points
            assert found["lines"] == many
            assert sum(items) <= points / 10 + 4, "with the job itself and the newest block"
            assert max(point["high"] for point in series) == 99.0, "a spike of one line is seen in any plot"
            assert series[-1]["sequence"] == many and series[0]["value"] >= series[-1]["value"]
        with counted("Query") as items:
            history.delete(job.owner, job.id)
        assert sum(items) <= many / 80
        assert client.get(f"/jobs/{job.id}/metrics").body == {"items": [], "next_cursor": None}

    def test_pages_hold_every_line_once_newest_first(self, client: ApiClient) -> None:
        job = stored(client.username)
        sequences = [*range(1, 130), *range(340, 360), 5000]
        for number in reversed(sequences):
            if number % 50 == 0:  # some alone, in reverse; the rest together
                assert history.keep(job, [line(number, loss=1.0)]) == 1
        assert history.keep(job, [line(n, loss=1.0) for n in sequences]) == sum(n % 50 != 0 for n in sequences)
        for limit in (13, 100):
            found, cursor = [], ""
            while cursor is not None:
                page = client.get(f"/jobs/{job.id}/metrics?limit={limit}{cursor}").body
                found += [point["sequence"] for point in page["items"]]
                cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
                assert len(page["items"]) <= limit
            assert found == sequences[::-1]

    def test_figures_that_come_seldom_are_in_the_plot_of_a_long_history(self, client: ApiClient) -> None:
        job = stored(client.username)
        history.keep(
            job, [line(n, loss=1.0, **({"eval_f1": n / 1000} if n % 500 == 0 else {})) for n in range(1, 1501)]
        )
        series = client.get(f"/jobs/{job.id}/metrics?points=10").body["series"]
        assert [point["value"] for point in series["eval_f1"]] == [0.5, 1.0, 1.5]

    def test_deliveries_at_the_same_moment_lose_nothing(self, client: ApiClient) -> None:
        job = stored(client.username)
        with ThreadPoolExecutor(4) as pool:
            kept = pool.map(lambda first: history.keep(job, [line(n, loss=1.0) for n in range(first, 40, 4)]), range(4))
        assert sum(kept) == 40
        assert len(client.get(f"/jobs/{job.id}/metrics").body["items"]) == 40
        assert [p["sequence"] for p in client.get(f"/jobs/{job.id}/metrics?points=2").body["series"]["loss"]] == [
            19,
            39,
        ]

    @pytest.mark.parametrize("query", ["points=1", "points=1001", "points=x", "cursor=bWV0cmlj", "cursor=%00"])
    def test_wrong_queries_name_their_field(self, client: ApiClient, query: str) -> None:
        answer = client.get(f"/jobs/{stored(client.username).id}/metrics?{query}")
        assert answer.status == 400
        assert answer.body["errors"][0]["field"] == query.split("=")[0]


class TestDetails:
    def test_a_running_job_is_shown_with_what_is_measured_of_it(self, client: ApiClient) -> None:
        now = datetime.now(UTC)
        start = now - timedelta(minutes=59)  # of an hour or less, every minute is told
        job = stored(client.username, started_at=iso(start), max_runtime_seconds=4000, instance_type="ml.g5.xlarge")
        progress = {"slipway": "test", "job_id": job.id, "sequence": 9, "percent": 50.0, "epoch": 1.5, "step": 30}
        metrics = {"max_steps": 60, "metrics": {"loss": 0.7}}
        seen = {"time": iso(now - timedelta(seconds=20))}
        printed(job, [(start, "begin"), (now - timedelta(seconds=10), json.dumps(progress | metrics | seen))])
        boto3.client("cloudwatch").put_metric_data(
            Namespace="/aws/sagemaker/TrainingJobs",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "Host", "Value": f"{job.attempts[0].training_job_name}/algo-1"}],
                    "Timestamp": start + timedelta(minutes=minute),
                    "Value": value + minute,
                }
                for name, value in (("CPUUtilization", 150.0), ("GPUUtilization", 3.0))
                for minute in range(1, 11)
            ],
        )
        found = client.get(f"/jobs/{job.id}").body
        assert found["progress"] | {"time": None} == {
            "sequence": 9, "time": None, "percent": 50.0, "epoch": 1.5, "step": 30, "max_steps": 60,
            "metrics": {"loss": 0.7},
        }  # fmt: skip
        assert 9 <= found["heartbeat_age_seconds"] <= 60
        assert 3500 <= found["time_left_seconds"] <= 4000, "as long again as it took"
        assert found["utilization"]["cpu"] == {"newest": 160.0, "mean": 155.5, "peak": 160.0}
        assert found["utilization"]["memory"] is None
        assert [hint["code"] for hint in found["hints"]] == ["runs_out_of_time", "gpu_is_idle"]
        assert "8 %" in found["hints"][1]["message"]

    def test_an_ended_job_keeps_its_failure_and_what_it_used(self, client: ApiClient) -> None:
        job = stored(client.username, status="failed", stage=None, failure={"class": "data", "fix": "Correct it."})
        found = client.get(f"/jobs/{job.id}").body
        assert found["failure"] == {"class": "data", "fix": "Correct it."}
        assert client.get("/jobs").body["items"][0]["failure"]["class"] == "data"
        assert (found["heartbeat_age_seconds"], found["time_left_seconds"]) == (None, None)

    def test_a_job_that_waits_has_nothing_measured(self, client: ApiClient) -> None:
        job = stored(client.username, status="pending", stage="queued", started_at=None, attempts=[])
        found = client.get(f"/jobs/{job.id}").body
        assert (found["utilization"], found["hints"], found["heartbeat_age_seconds"]) == (None, [], None)


class TestWatchdog:
    def test_a_silent_job_is_marked_until_it_speaks_again(self, client: ApiClient) -> None:
        job = stored(client.username)
        printed(job, [(START + timedelta(minutes=5), "the last words")])
        job = JOBS.update(job, **watchdog.look(job))
        found = client.get(f"/jobs/{job.id}").body
        assert found["status"] == "running", "marked, and not stopped"
        assert found["stalled_since"] == iso(START + timedelta(minutes=5)).replace(".000", "")
        assert found["stalled_since"] in found["warning"]
        printed(job, [(datetime.now(UTC), "back again")])
        job = JOBS.update(job, **watchdog.look(job))
        found = client.get(f"/jobs/{job.id}").body
        assert (found["warning"], found["stalled_since"]) == (None, None)

    def test_a_job_that_never_printed_is_silent_from_its_start(self, client: ApiClient) -> None:
        assert watchdog.look(stored(client.username))["stalled_since"] == iso(START).replace(".000", "")

    def test_the_log_is_not_read_of_a_job_whose_record_is_new(self, client: ApiClient) -> None:
        spoken = Progress(sequence=1, time=iso(datetime.now(UTC)), percent=1)
        job = stored(client.username, progress=spoken)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logs, "tail", None)
            assert watchdog.look(job) == {}

    @pytest.mark.parametrize("doing", ["starting", "downloading", "uploading", "stopping"])
    def test_only_training_is_expected_to_speak(self, client: ApiClient, doing: str) -> None:
        assert watchdog.look(stored(client.username, stage=doing)) == {}


class TestLogs:
    def lines(self, client: ApiClient, job: Job, limit: int = 100) -> list[str]:
        """Every line, page by page until nothing new comes."""
        found, cursor, empty = [], "", 0
        while cursor is not None and empty < 3:
            page = client.get(f"/jobs/{job.id}/logs?limit={limit}{cursor}").body
            found += [entry["message"] for entry in page["items"]]
            cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
            empty = 0 if page["items"] else empty + 1
        return found

    def test_a_job_that_was_interrupted_has_its_log_in_one_piece(self, client: ApiClient) -> None:
        job = stored(client.username)
        printed(job, [(START, f"first {n}") for n in range(5)], "algo-1-1700000000")
        printed(job, [(START, f"second {n}") for n in range(5)], "algo-1-1700009999")
        printed(job, [(START, "of another instance")], "algo-2-1700000000")
        expected = [f"{part} {n}" for part in ("first", "second") for n in range(5)]
        assert self.lines(client, job, limit=2) == expected
        ended = JOBS.update(job, status="completed")
        assert self.lines(client, ended) == expected

    def test_a_cursor_of_another_jobs_log_is_refused(self, client: ApiClient) -> None:
        mine, other = stored(client.username), stored("somebody-else")
        for job in (mine, other):
            printed(job, [(START, "secret")])
        cursors = [
            logs.lines(other, 1, None).next_cursor,
            encode_cursor(f"{mine.attempts[0].training_job_name}/algo-1-1 made-up"),
            encode_cursor(f"{mine.attempts[0].training_job_name}/absent "),
        ]
        for cursor in cursors:
            answer = client.get(f"/jobs/{mine.id}/logs?cursor={cursor}")
            assert (answer.status, answer.body["errors"][0]["field"]) == (400, "cursor")

    def test_the_whole_log_is_one_file_of_every_instance(self, client: ApiClient) -> None:
        job = stored(client.username, status="completed", stage=None, ended_at=iso(START + timedelta(minutes=30)))
        text = "x" * 300
        printed(job, [(START + timedelta(milliseconds=n), f"{n} {text}") for n in range(12_000)])  # two pages and more
        printed(job, [(START, "zwölf")], "algo-2-1")
        asked = client.get(f"/jobs/{job.id}/logs/download")
        assert (asked.status, asked.body["status"], asked.body["url"]) == (202, "preparing", None)
        assert client.get(f"/jobs/{job.id}/logs/download").status == 202
        tasks.control({"action": "log", "owner": job.owner, "id": job.id}, None)
        ready = client.get(f"/jobs/{job.id}/logs/download")
        assert (ready.status, ready.body["status"]) == (200, "ready")
        content = requests.get(ready.body["url"], timeout=10).content
        assert len(content) == ready.body["bytes"]
        found = gzip.decompress(content).decode().splitlines()
        first, second = (f"==> {job.attempts[0].training_job_name}/algo-{n}-1 <==" for n in (1, 2))
        assert (found[0], found[12_001], len(found)) == (first, second, 12_003)
        assert found[12_000] == f"{iso(START + timedelta(milliseconds=11_999))} 11999 {text}"
        assert found[-1].endswith(" zwölf")

    def test_the_control_task_is_asked_once(self, client: ApiClient) -> None:
        job = stored(client.username)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: logs.download(job).status, range(4)))
        assert answers == ["preparing"] * 4
        assert client.get(f"/jobs/{job.id}/logs/download").status == 202
        assert JOBS.get(job.owner, job.id).revision == job.revision + 1

    @pytest.mark.parametrize(
        ("ended", "made", "good"),
        [(None, 1, True), (None, 11, False), (60, 57, True), (60, 61, False), (1, 0, True), (30, 29, False)],
    )
    def test_when_a_file_is_good_enough(self, ended: int | None, made: int, good: bool) -> None:
        now = datetime.now(UTC)

        def ago(minutes: int) -> str:
            return iso(now - timedelta(minutes=minutes))

        job = job_of(ended_at=None if ended is None else ago(ended))
        file = logs.LogFile(key="log", bytes=1, made_at=ago(made))
        assert logs.usable(job, file, now) is good

    def test_a_log_made_for_a_job_that_is_gone_by_then_is_removed(self, client: ApiClient) -> None:
        job = stored(client.username)
        printed(job, [(START, "line")])
        JOBS.delete(job)
        with pytest.raises(Exception, match="There is no job"):
            logs.make_file(job)
        found = boto3.client("s3").list_objects_v2(Bucket="slipway-test-jobs-bucket", Prefix=f"{job.owner}/{job.id}/")
        assert "Contents" not in found
