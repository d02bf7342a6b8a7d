"""Statistics over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from lambdas.common.dependencies import Caller
from lambdas.common.pages import Cursor, Page
from lambdas.models.schemas import Username
from lambdas.stats import dashboard, service
from lambdas.stats.schemas import Contribution, Dashboard, ModelRuns

router = APIRouter(tags=["stats"])
Models = Annotated[int, Query(ge=1, le=100, description="Models per page.")]
Users = Annotated[int, Query(ge=1, le=60, description="Users per page.")]
Days = Annotated[int, Query(ge=1, le=90, description="Of activity.")]


@router.get("/stats/models")
def get_model_run_counts_with_details(
    caller: Caller, user_id: Username | None = None, limit: Models = 50, cursor: Cursor = None
) -> Page[ModelRuns]:
    """Return how often each of your models was trained, with details of its latest version; of another user those
    that are shared, or all for an admin."""
    return service.models_with_runs(caller, user_id or caller.username, limit, cursor)


@router.get("/stats/contributions")
def get_contributions(caller: Caller, limit: Users = 50, cursor: Cursor = None) -> Page[Contribution]:
    """Return what each user has brought and done: yourself, or everybody for an admin."""
    return service.contributions(caller, limit, cursor)


@router.get("/dashboard")
def get_dashboard(caller: Caller, days: Days = 14) -> Dashboard:
    """Return everything at a glance: data sets, models, trainings, GPUs, storage, who holds instances, queues."""
    return dashboard.of(caller, days)
