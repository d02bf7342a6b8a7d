"""What a training job is asked for with, what is stored about it, and what it shows."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from lambdas.common.ids import ID_PATTERN
from lambdas.common.instances import InstanceType
from lambdas.common.store import Entity
from lambdas.jobs.watched import Failure, Hint, LogFile, Utilization
from lambdas.models.schemas import ModelName, ModelReference, PrimaryMetric

TrainingType = Literal[
    "llm", "diffusion", "text_classification", "ner", "image_classification", "object_detection", "tabular", "custom"
]
Priority = Literal["high", "normal", "low"]
Kind = Literal["training", "evaluation", "register"]
Status = Literal["pending", "running", "completed", "failed", "cancelled"]
Stage = Literal["held", "queued", "starting", "downloading", "training", "uploading", "registering", "stopping"]
DisplayName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]

ENDED = {"completed", "failed", "cancelled"}
NOT_YET_TRAINING = {"held", "queued"}  # stages in which a job's place among others can still be changed
DAY = 24 * 3600


class DeployAfter(BaseModel):
    """The endpoint that serves the model once it is registered; the job completes whether or not it comes up."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName | None = Field(default=None, description="The job's name when absent.")
    instance_type: InstanceType | None = Field(default=None, description="The stage's first one when absent.")
    instance_count: int = Field(default=1, ge=1, le=10)


class JobScript(BaseModel):
    """Which script a custom job runs, and where."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^scr-[0-9a-hjkmnp-tv-z]{19}$")]
    entry_point: Annotated[str, StringConstraints(pattern=r"^\w[\w./-]*\.py$", max_length=256)] = Field(
        default="train.py", description="The Python file to run, as the ZIP names it."
    )
    image: Literal["tabular", "huggingface"] = Field(
        default="tabular", description="The image whose libraries it finds."
    )


class UsedScript(JobScript):
    """The script that a job runs: with the same SHA-256 it is the same."""

    sha256: str | None = None


class JobCreate(BaseModel):
    """A request to train a model. `parameters` depend on the training type."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName
    description: str | None = Field(default=None, max_length=2000)
    dataset_id: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    dataset_version: int | None = Field(default=None, ge=1, description="The newest one that is ready when absent.")
    training_type: TrainingType = "tabular"
    parameters: dict[str, Any] = Field(default_factory=dict)
    script: JobScript | None = Field(default=None, description="What a job of type `custom` runs; only that type.")
    model_id: ModelName | None = Field(
        default=None, description="The registry model that gets the next version; made from the name when absent."
    )
    instance_type: InstanceType | None = Field(default=None, description="The stage's first one when absent.")
    priority: Priority = Field(default="normal", description="Orders your own jobs; fair share orders users.")
    max_runtime_seconds: int = Field(default=3600, ge=60, le=5 * DAY)
    hold: bool = Field(default=False, description="Keep it back until POST /jobs/{id}/start.")
    not_before: AwareDatetime | None = Field(
        default=None, description="Start at this time, or up to five minutes after it; POST /jobs/{id}/start is sooner."
    )
    base_model: ModelReference | None = Field(default=None, description="Go on from a version of the registry.")
    managed_spot: bool = Field(
        default=False, description="Train on spare instances, for less: interrupted at times, resumed at a checkpoint."
    )
    instance_count: int = Field(default=1, ge=1, le=8, description="Instances that train one model together.")
    deploy: DeployAfter | None = Field(default=None, description="Make an endpoint of the model when it is there.")

    @field_validator("not_before")
    @classmethod
    def held_or_scheduled(cls, time: datetime | None, info: ValidationInfo) -> datetime | None:
        if time and info.data.get("hold"):
            raise ValueError("hold waits for POST /jobs/{id}/start, not_before for a time: give one of the two")
        if time and time <= datetime.now(UTC):
            raise ValueError("is in the past: leave it out to start now")
        return time


class JobUpdate(BaseModel):
    """What may change of a job: what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName | None = None
    description: str | None = Field(default=None, max_length=2000)
    priority: Priority | None = Field(default=None, description="Only while the job waits.")


class Attempt(BaseModel):
    """One SageMaker training job that Batch made for this job; names are recorded, never derived."""

    training_job_arn: str
    training_job_name: str


class Progress(BaseModel):
    """The newest progress line that the container printed."""

    sequence: int = 0
    time: str | None = None
    percent: float = Field(default=0, ge=0, le=100)
    epoch: float | None = None
    step: int | None = None
    max_steps: int | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class RegisteredModel(BaseModel):
    """The version that a completed job became, or that an evaluation is of: `GET /ai-models/{user_id}/{model_id}`."""

    id: str | None = Field(default=None, description="Given when the model is registered: ids sort by that time.")
    model_id: str
    version: str | None = None


class JobFields(BaseModel):
    """What a job says of itself."""

    kind: Literal["training", "evaluation"] = "training"
    name: str
    description: str | None = None
    training_type: TrainingType
    parameters: dict[str, Any]
    script: UsedScript | None = None
    dataset_id: str
    dataset_version: int = 1
    instance_type: str
    priority: Priority
    max_runtime_seconds: int
    not_before: str | None = None
    base_model: ModelReference | None = None
    managed_spot: bool = False
    instance_count: int = 1
    deploy: DeployAfter | None = None
    endpoint_id: str | None = Field(
        default=None, description="What `deploy` asked for, or what an evaluation asks about."
    )
    deploy_error: str | None = Field(default=None, description="Why there is no such endpoint.")
    rerun_of: str | None = Field(default=None, description="The job that this one repeats.")
    status: Status = "pending"
    stage: Stage | None = Field(default=None, description="What it is doing now; null once it has ended.")
    secondary_status: str | None = Field(default=None, description="SageMaker's own word for what it is doing.")
    reason: str | None = Field(default=None, description="Why it failed, or why it still waits.")
    failure: Failure | None = None
    warning: str | None = Field(default=None, description="What may be wrong with it while it runs.")
    stalled_since: str | None = Field(
        default=None, description="When it last printed something, once that is long ago."
    )
    progress: Progress = Field(default_factory=Progress)
    model: RegisteredModel
    primary_metric: PrimaryMetric | None = None
    schedule_id: str | None = Field(default=None, description="What evaluates again and again, and made this job.")
    threshold: float | None = Field(default=None, description="What an evaluation's primary metric must come to.")
    alarm: bool = Field(default=False, description="Whether it came to less, or to more where less is better.")
    alarm_reason: str | None = None
    started_at: str | None = None
    ended_at: str | None = None


class Job(JobFields, Entity):
    """A job as it is stored."""

    dataset_owner: str
    dataset_uri: str
    dataset_sha256: str | None = None
    examples_uri: str | None = None
    column_mapping: dict[str, str] = Field(default_factory=dict)
    base_model_id: str | None = Field(default=None, description="The id of the version that base_model names.")
    base_model_uri: str | None = None
    image_family: str
    image_uri: str | None = Field(default=None, description="Known once it is submitted, and then never another.")
    charged_month: str | None = Field(default=None, description="Whose hours it counts against, as 2026-01.")
    stop_requested_at: str | None = None
    client_token: str | None = None
    batch_job_id: str | None = None
    batch_priority: Priority | None = Field(default=None, description="What Batch was last told.")
    attempts: list[Attempt] = Field(default_factory=list)
    log_stream: str | None = None
    artefact: str | None = Field(default=None, description="s3:// address of model.tar.gz")
    utilization: Utilization | None = Field(default=None, description="Of the whole run, once it has ended.")
    log_file: LogFile | None = None
    log_asked_for_at: str | None = None

    @property
    def base_reference(self) -> str | None:
        """The base model as lineage names it: `user_id/model_id@version`."""
        base = self.base_model
        return f"{base.user_id}/{base.model_id}@{base.version}" if base else None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def charged_seconds(self) -> int:
        """What it may take at most, in instance-seconds."""
        return self.max_runtime_seconds * self.instance_count


class JobPublic(JobFields):
    """A job as it is shown."""

    id: str
    user_id: str
    position: int | None = Field(
        default=None, description="Its place in its queue, 1 starts next; known of the first 100, and read one by one."
    )
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, job: Job, **more: Any) -> Self:
        """Return what may be shown of a job."""
        shown = job.model_dump(include=set(cls.model_fields) - {"user_id", "position"})
        return cls(**shown | more, user_id=job.owner)


class JobDetails(JobPublic):
    """A job as it is shown by itself: with what is measured of it now, or was when it ran."""

    heartbeat_age_seconds: int | None = Field(
        default=None, description="Since it last printed something; null at rest."
    )
    time_left_seconds: int | None = Field(default=None, description="An estimate from its progress so far.")
    utilization: Utilization | None = None
    hints: list[Hint] = Field(default_factory=list)


class LogLine(BaseModel):
    """One line that the container printed."""

    time: str
    message: str


class MetricPoint(BaseModel):
    """One progress line of the past, with the metrics it carried."""

    sequence: int
    time: str
    percent: float
    epoch: float | None = None
    step: int | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
