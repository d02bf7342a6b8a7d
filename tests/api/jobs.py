"""Jobs as tests make them: on small datasets, without Batch, watched as the schedule does."""

from typing import Any

from lambdas.common import waits, workflows
from lambdas.datasets.records import DATASETS
from lambdas.endpoints import tasks as endpoints
from lambdas.jobs import service, tasks
from lambdas.jobs.schemas import Job
from lambdas.jobs.service import JOBS
from tests.api.client import ApiClient
from tests.api.datasets import processed

TABLE = b"size,color,kind\n" + b"".join(b"%d,%d,%s\n" % (n, n % 7, b"ab"[n % 2 : n % 2 + 1]) for n in range(60))
TEXTS = b"".join(b'{"text": "the %d. sentence of many"}\n' % n for n in range(20))
USERS: dict[str, ApiClient] = {}


def table(jobs: ApiClient) -> str:
    """Return the id of a new tabular dataset of the user's."""
    return processed(ApiClient(datasets_handler(), jobs.username), TABLE)["id"]


def texts(jobs: ApiClient) -> str:
    """Return the id of a new dataset of texts."""
    file = {"filename": "texts.jsonl", "size": len(TEXTS)}
    client = ApiClient(datasets_handler(), jobs.username)
    return processed(client, TEXTS, type="text", format="jsonl", files=[file])["id"]


def datasets_handler() -> Any:
    """Return the handler of the datasets' API."""
    from lambdas.datasets.handler import handler

    return handler


def new_job(dataset: str, **changes: Any) -> dict[str, Any]:
    """Return the body that creates a job on a tabular dataset."""
    return {"name": "Kinds", "dataset_id": dataset, "parameters": {"target": "kind"}} | changes


def new_llm(dataset: str, **changes: Any) -> dict[str, Any]:
    """Return the body that creates a job on a dataset of texts."""
    return {"name": "Writer", "dataset_id": dataset, "training_type": "llm"} | changes


def created(jobs: ApiClient, request: dict[str, Any]) -> dict[str, Any]:
    """Create a job and return it."""
    answer = jobs.post("/jobs", request)
    assert answer.status == 201, answer.body
    return answer.body


def record(job: dict[str, Any]) -> Job:
    """Return a job as it is stored."""
    return JOBS.get(job["user_id"], job["id"])


def end(job: dict[str, Any], outcome: Any = "failed") -> Job:
    """End a job as its workflow does."""
    return service.end(record(job), outcome, "The test is over.")


def has_execution(id: str) -> bool:
    """Return whether a job's workflow has started."""
    return workflows.execution("TRAIN_WORKFLOW_ARN", id)["status"] != "ABSENT"


def under_way(owner: str, prefix: str = "job-") -> list[str]:
    """Return the ids of what is under way of a user."""
    return sorted(id for found, id in waits.under_way(prefix) if found == owner)


def recover(owner: str) -> None:
    """Reconcile everything under way of a user, as the schedule does for all."""
    for id in under_way(owner):
        tasks.reconcile(owner, id)
    for id in under_way(owner, "ep-"):
        endpoints.reconcile(owner, id)


def holders(owner: str, dataset: str) -> set[str]:
    """Return what keeps a dataset from being deleted."""
    return DATASETS.get(owner, dataset).holds


def of(owner: str) -> list[Job]:
    """Return the jobs of a user."""
    return JOBS.list(owner, "job-", 100, None).items
