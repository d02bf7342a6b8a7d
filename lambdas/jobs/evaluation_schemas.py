"""What evaluations and their schedules are asked for with, what is stored of a schedule, and what it shows."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from lambdas.common.ids import ID_PATTERN
from lambdas.common.instances import InstanceType
from lambdas.common.store import Entity
from lambdas.jobs import recurrence
from lambdas.jobs.schemas import DAY, DisplayName, Priority, Status
from lambdas.models.schemas import ModelReference, PrimaryMetric

Threshold = Annotated[
    float,
    AfterValidator(lambda threshold: round(threshold, 12)),  # smaller numbers DynamoDB has none for
    Field(
        ge=-1e12,
        le=1e12,
        allow_inf_nan=False,
        description="What the primary metric must come to: less raises an alarm, or more where less is better.",
    ),
]


EndpointId = Annotated[str, StringConstraints(pattern=r"^ep-[0-9a-hjkmnp-tv-z]{19}$")]


class EvaluationCreate(BaseModel):
    """A request to evaluate a version of the registry on a dataset, or the one that an endpoint serves."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    name: DisplayName
    description: str | None = Field(default=None, max_length=2000)
    model: ModelReference | None = Field(default=None, description="What to evaluate; or give an endpoint.")
    endpoint_id: EndpointId | None = Field(
        default=None, description="One of yours: the version that it serves is evaluated, and no call is sent to it."
    )
    dataset_id: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    dataset_version: int | None = Field(default=None, ge=1, description="The newest one that is ready when absent.")
    threshold: Threshold | None = None
    instance_type: InstanceType | None = Field(default=None, description="The stage's first one when absent.")
    priority: Priority = Field(default="normal", description="Orders your own jobs; fair share orders users.")
    max_runtime_seconds: int = Field(default=3600, ge=60, le=5 * DAY)

    @model_validator(mode="after")
    def one_of_two(self) -> Self:
        if (self.model is None) == (self.endpoint_id is None):
            raise ValueError("give either model or endpoint_id")
        return self


class ScheduleCreate(EvaluationCreate):
    """A request to evaluate again and again. What the model's reference leaves open, and what an endpoint
    serves, is looked up at each run."""

    schedule: str = Field(
        max_length=256,
        description="In UTC, as EventBridge Scheduler writes it: `rate(1 day)` begins at once, "
        "`cron(0 6 ? * MON-FRI *)` keeps to the calendar.",
    )

    @field_validator("schedule")
    @classmethod
    def is_due_some_time(cls, schedule: str) -> str:
        return recurrence.validated(schedule)


class ScheduleUpdate(BaseModel):
    """What may change of a schedule: what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName | None = None
    description: str | None = Field(default=None, max_length=2000)
    schedule: str | None = Field(default=None, max_length=256, description="Counts from now on.")
    threshold: Threshold | None = Field(default=None, description="Counts from the next run on; null takes it away.")

    @field_validator("schedule")
    @classmethod
    def is_due_some_time(cls, schedule: str | None) -> str | None:
        return None if schedule is None else recurrence.validated(schedule)


class ScheduleFields(BaseModel):
    """What is known of a schedule, stored and shown alike."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    description: str | None = None
    model: ModelReference | None = None
    endpoint_id: str | None = None
    dataset_id: str
    dataset_version: int | None = None
    threshold: float | None = None
    instance_type: str
    priority: Priority
    max_runtime_seconds: int
    schedule: str
    status: Literal["active", "paused"] = "active"
    reason: str | None = Field(default=None, description="Why it is paused, or why a run waits or was left out.")
    next_run_at: str | None = Field(default=None, description="It begins up to five minutes later; null while paused.")
    last_run_at: str | None = Field(default=None, description="When its newest job was due.")
    last_job_id: str | None = None
    last_status: Status | None = Field(default=None, description="How its newest job that has ended did so.")
    last_reason: str | None = Field(default=None, description="Why, where that job did not complete.")
    last_metric: PrimaryMetric | None = Field(default=None, description="Of the newest job that completed.")
    alarm: bool = Field(default=False, description="Whether that metric is past the threshold.")
    alarm_reason: str | None = None
    alarm_since: str | None = None


class Schedule(ScheduleFields, Entity):
    """A schedule as it is stored; its job that waits or runs holds it."""


class SchedulePublic(ScheduleFields):
    """A schedule as it is shown."""

    id: str
    user_id: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, schedule: Schedule) -> Self:
        """Return what may be shown of a schedule."""
        return cls(**schedule.model_dump(include=set(cls.model_fields) - {"user_id"}), user_id=schedule.owner)
