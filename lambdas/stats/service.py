"""Run counts and contributions, from the counters that the nouns keep: as many items are read as are shown."""

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.identity import Caller
from lambdas.common.pages import Page, decode_cursor, encode_cursor
from lambdas.datasets import service as datasets
from lambdas.jobs import service as jobs
from lambdas.models import service as models
from lambdas.models.schemas import ModelVersion
from lambdas.stats.schemas import Contribution, ModelRuns, RunCounts

OF_VERSION = {"model_id", "name", "framework", "model_type", "status", "verdict", "visibility", "primary_metric"}
OF_RUNS = {"instance_hours", "last_run_at"}


def models_with_runs(caller: Caller, owner: str, limit: int, cursor: str | None) -> Page[ModelRuns]:
    """Return a page of an owner's models that the caller may see, with their run counts: three items per model."""
    page = models.newest_of_each(owner, limit, cursor)
    seen = [version for version in page.items if models.may_read(caller, version)]
    runs = jobs.runs_of_models(owner, [version.model_id for version in seen])
    return Page(
        items=[model_runs(version, runs.get(version.model_id, jobs.Runs())) for version in seen],
        next_cursor=page.next_cursor,
    )


def model_runs(version: ModelVersion, runs: jobs.Runs) -> ModelRuns:
    """Return a model with its run counts."""
    return ModelRuns(
        **version.model_dump(include=OF_VERSION),
        user_id=version.owner,
        latest_version=version.version,
        deployed=bool(version.endpoints),
        endpoints=version.endpoints,
        registered_at=version.created_at,
        **runs.model_dump(include=OF_RUNS | {"last_job_id", "last_training_type"}),
        runs=RunCounts(**runs.model_dump(exclude=OF_RUNS)),
    )


def contributions(caller: Caller, limit: int, cursor: str | None) -> Page[Contribution]:
    """Return a page of users and what each has done: the caller alone, or all accounts for an admin."""
    names, following = usernames(limit, cursor) if caller.is_admin else ([caller.username], None)
    runs, registered = jobs.runs_of_users(names), models.registered(names)
    held, stored = datasets.held_by(names), models.held_by(names)
    items = []
    for name in names:
        ran, has = runs.get(name, jobs.Runs()), held.get(name)
        items.append(
            Contribution(
                user_id=name,
                runs=RunCounts(**ran.model_dump(exclude=OF_RUNS)),
                **ran.model_dump(include=OF_RUNS),
                datasets=has.datasets if has else 0,
                dataset_bytes=has.bytes if has else 0,
                model_bytes=stored.get(name, 0),
                model_versions_registered=registered.get(name, 0),
            )
        )
    return Page(items=items, next_cursor=following)


def usernames(limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    """Return a page of the directory's usernames, and where to go on."""
    start = {"PaginationToken": decode_cursor(cursor)} if cursor else {}
    answer = aws.client("cognito-idp").list_users(UserPoolId=variable("USER_POOL_ID"), Limit=limit, **start)
    token = answer.get("PaginationToken")
    return [user["Username"] for user in answer["Users"]], encode_cursor(token) if token else None
