"""What a training job is asked for with, what is stored about it, and what it shows."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lambdas.common.ids import ID_PATTERN
from lambdas.common.instances import InstanceType
from lambdas.common.store import Entity
from lambdas.models.schemas import ModelName, PrimaryMetric

TrainingType = Literal["tabular", "custom"]
Priority = Literal["high", "normal", "low"]
Status = Literal["pending", "running", "completed", "failed", "cancelled"]
Stage = Literal["held", "queued", "starting", "downloading", "training", "uploading", "registering", "stopping"]
DisplayName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]

ENDED = {"completed", "failed", "cancelled"}
DAY = 24 * 3600


class JobScript(BaseModel):
    """Which script a custom job runs, and where."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^scr-[0-9a-hjkmnp-tv-z]{19}$")]
    entry_point: Annotated[str, StringConstraints(pattern=r"^\w[\w./-]*\.py$", max_length=256)] = Field(
        default="train.py", description="The Python file to run, as the ZIP names it."
    )
    image: Literal["tabular"] = Field(default="tabular", description="The image whose libraries it finds.")


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


class Attempt(BaseModel):
    """One SageMaker training job that Batch made for this job; names are recorded, never derived."""

    training_job_arn: str
    training_job_name: str


class Progress(BaseModel):
    """The newest progress line that the container printed."""

    sequence: int = 0
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
    script: UsedScript | None = None
    dataset_id: str
    dataset_version: int = 1
    instance_type: str
    priority: Priority
    max_runtime_seconds: int
    status: Status = "pending"
    stage: Stage | None = Field(default=None, description="What it is doing now; null once it has ended.")
    reason: str | None = Field(default=None, description="Why it failed, or why it still waits.")
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
