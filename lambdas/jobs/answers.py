"""What the API of jobs answers beside jobs: training types, queues, usage, capsules, and many jobs at once."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lambdas.datasets.schemas import DatasetNeeds
from lambdas.jobs.schemas import JobCreate, JobPublic, TrainingType, UsedScript
from lambdas.models.schemas import Framework, ModelType


class TypeMetric(BaseModel):
    """The figure by which models of a type are compared; `task` where they are of several kinds."""

    name: str
    direction: Literal["max", "min"]
    task: str | None


class TrainingTypePublic(BaseModel):
    """A training type: what it takes and what its models are."""

    model_config = ConfigDict(protected_namespaces=())

    training_type: TrainingType
    description: str
    parameters: dict[str, Any] = Field(description="JSON Schema: defaults, ranges, choices, and a description of each.")
    dataset: DatasetNeeds
    primary_metrics: list[TypeMetric] = Field(description="Empty where the container says which it is.")
    model_type: ModelType
    framework: Framework
    image_family: str
    base_model: bool = Field(description="Whether a job may go on from a version of the registry.")
    max_instances: int


class BatchCreate(BaseModel):
    """Many jobs at once."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[JobCreate] = Field(min_length=1, max_length=50)


class BatchError(BaseModel):
    """Why one of many jobs was not created."""

    code: str
    detail: str


class BatchItem(BaseModel):
    """One of many: the job that was created, or why it was not."""

    job: JobPublic | None = None
    error: BatchError | None = None


class BatchCreated(BaseModel):
    """What became of each job, in the order in which they were given."""

    items: list[BatchItem]


class QueuedJob(BaseModel):
    """One of your jobs that waits for an instance; `position` is null behind the first 100."""

    job_id: str
    position: int | None


class Queue(BaseModel):
    """The queue of an instance type as AWS Batch shows it: the first 100 in the order in which they would start now."""

    instance_type: str
    instances: int = Field(description="How many of the type may train at once.")
    in_use: float
    waiting: int = Field(description="Everybody's jobs that wait; at most 100, for Batch shows no more.")
    yours: list[QueuedJob]


class Usage(BaseModel):
    """What your jobs take and may take. A job counts with its longest run until it has ended, then with its own."""

    jobs: int = Field(description="Jobs that wait or run; held ones do not count.")
    max_jobs: int
    month: str
    instance_hours: float
    max_instance_hours: int | None = Field(description="In a month; null is no limit.")


class CapsuleImage(BaseModel):
    """The image that trained; its tag is the hash of the sources it is built from."""

    family: str
    uri: str | None = Field(
        description="Known once the job is submitted. Its tag is a hash of the image's sources, in a repository whose "
        "tags never move, so it names one image."
    )
    code_hash: str | None


class CapsuleDataset(BaseModel):
    """What was learned from."""

    user_id: str
    id: str
    version: int
    sha256: str | None
    column_mapping: dict[str, str]


class CapsuleModel(BaseModel):
    """What was gone on from."""

    reference: str
    id: str


class CapsuleInstance(BaseModel):
    """What it ran on."""

    type: str
    count: int
    managed_spot: bool
    max_runtime_seconds: int


class Capsule(BaseModel):
    """All that a training run is made of. The same capsule gives the same model, as far as the hardware allows."""

    schema_version: int = 1
    job_id: str
    rerun_of: str | None
    created_at: str
    training_type: TrainingType
    image: CapsuleImage
    dataset: CapsuleDataset
    base_model: CapsuleModel | None
    script: UsedScript | None = Field(default=None, description="Of a job of type `custom`.")
    given_parameters: dict[str, Any]
    parameters: dict[str, Any] | None = Field(description="With every default, as the container took them.")
    seed: int | None
    versions: dict[str, str] | None = Field(description="Python's and the libraries', as the container found them.")
    instance: CapsuleInstance
