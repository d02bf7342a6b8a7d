"""What a training job is asked for with, what is stored about it, and what it shows."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lambdas.common.ids import ID_PATTERN
from lambdas.common.instances import InstanceType
from lambdas.common.store import Entity
from lambdas.jobs.watched import Failure, Hint, LogFile, Utilization
from lambdas.models.schemas import ModelName, PrimaryMetric

TrainingType = Literal["tabular"]
Priority = Literal["high", "normal", "low"]
Status = Literal["pending", "running", "completed", "failed", "cancelled"]
Stage = Literal["held", "queued", "starting", "downloading", "training", "uploading", "registering", "stopping"]
DisplayName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]

ENDED = {"completed", "failed", "cancelled"}
DAY = 24 * 3600


class JobCreate(BaseModel):
    """A request to train a model. `parameters` depend on the training type."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName
    description: str | None = Field(default=None, max_length=2000)
    dataset_id: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    dataset_version: int | None = Field(default=None, ge=1, description="The newest one that is ready when absent.")
    training_type: TrainingType = "tabular"
    parameters: dict[str, Any] = Field(default_factory=dict)
    model_id: ModelName | None = Field(
        default=None, description="The registry model that gets the next version; made from the name when absent."
    )
    instance_type: InstanceType | None = Field(default=None, description="The stage's first one when absent.")
    priority: Priority = Field(default="normal", description="Orders your own jobs; fair share orders users.")
    max_runtime_seconds: int = Field(default=3600, ge=60, le=5 * DAY)


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
    """The version that a completed job became: `GET /ai-models/{user_id}/{model_id}?version=`."""

    id: str | None = Field(default=None, description="Given when the model is registered: ids sort by that time.")
    model_id: str
    version: str | None = None


class JobFields(BaseModel):
    """What a job says of itself."""

    name: str
    description: str | None = None
    training_type: TrainingType
    parameters: dict[str, Any]
    dataset_id: str
    dataset_version: int = 1
    instance_type: str
    priority: Priority
    max_runtime_seconds: int
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
    started_at: str | None = None
    ended_at: str | None = None


class Job(JobFields, Entity):
    """A job as it is stored."""

    dataset_owner: str
    dataset_uri: str
    dataset_sha256: str | None = None
    image_family: str
    stop_requested_at: str | None = None
    client_token: str | None = None
    batch_job_id: str | None = None
    attempts: list[Attempt] = Field(default_factory=list)
    log_stream: str | None = None
    artefact: str | None = Field(default=None, description="s3:// address of model.tar.gz")
    utilization: Utilization | None = Field(default=None, description="Of the whole run, once it has ended.")
    log_file: LogFile | None = None
    log_asked_for_at: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class JobPublic(JobFields):
    """A job as it is shown."""

    id: str
    user_id: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, job: Job) -> "JobPublic":
        """Return what may be shown of a job."""
        return cls(**job.model_dump(include=set(cls.model_fields) - {"user_id"}), user_id=job.owner)


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
