"""What statistics answer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lambdas.jobs.schemas import TrainingType
from lambdas.models.schemas import Framework, ModelType, PrimaryMetric, Verdict, Visibility

Part = Literal["queues", "metrics"]


class RunCounts(BaseModel):
    """Training jobs by what became of them; deleted ones stay counted."""

    total: int = 0
    active: int = Field(default=0, description="Held, waiting or running.")
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class Ran(BaseModel):
    """What was run, and when last."""

    runs: RunCounts = Field(default_factory=RunCounts)
    instance_hours: float = Field(default=0, description="Of the runs that have ended.")
    last_run_at: str | None = None


class ModelRuns(Ran):
    """A model with its runs, and the details of its latest version."""

    model_config = ConfigDict(protected_namespaces=())

    user_id: str
    model_id: str
    name: str
    latest_version: str
    framework: Framework
    model_type: ModelType
    status: str
    verdict: Verdict
    visibility: Visibility
    primary_metric: PrimaryMetric | None
    deployed: bool = Field(description="Whether an endpoint serves the latest version.")
    endpoints: list[str] = Field(description="The ids of those endpoints.")
    last_job_id: str | None = None
    last_training_type: TrainingType | None = None
    registered_at: str


class Contribution(Ran):
    """What a user has brought and done."""

    model_config = ConfigDict(protected_namespaces=())

    user_id: str
    datasets: int = 0
    dataset_bytes: int = 0
    model_bytes: int = 0
    model_versions_registered: int = Field(default=0, description="Ever, deleted ones included.")


class DatasetFigures(BaseModel):
    """The data sets of the caller."""

    total: int
    bytes: int


class ModelFigures(BaseModel):
    """Versions in the registry."""

    yours: int
    shared_by_you: int
    shared_with_you: int = Field(description="Versions of others that you may read because they are shared.")


class Trainings(BaseModel):
    """Jobs that wait or run now."""

    active: int
    running: int
    waiting: int


class Gpus(BaseModel):
    """Instances with GPUs that are held now, and how busy they are."""

    instances: int
    utilization_percent: float | None = Field(
        description="The mean of the last ten minutes over those that report; of an instance with several GPUs it is "
        "their sum, as SageMaker gives it. Null when none reports."
    )


class StorageFigures(BaseModel):
    """What the caller's files take, and what those of data sets may."""

    used_bytes: int = Field(description="Of data sets and models together.")
    dataset_bytes: int
    model_bytes: int = Field(description="Of the versions whose files are all there.")
    quota_bytes: int = Field(description="Of data sets.")


class Holder(BaseModel):
    """Who holds instances, for what, and since when."""

    user_id: str
    kind: Literal["job", "endpoint"]
    id: str
    name: str
    status: str
    instance_type: str | None = Field(description="Null for a serverless endpoint, which holds none.")
    instance_count: int
    since: str | None


class Activity(BaseModel):
    """What happened on a day, in UTC: jobs created, and jobs that ended."""

    day: str
    created: int
    completed: int
    failed: int
    cancelled: int


class QueueFigures(BaseModel):
    """The queue of an instance type, and how many of the caller's jobs wait in it."""

    instance_type: str
    instances: int
    in_use: float
    waiting: int
    yours: int


class SystemStatus(BaseModel):
    """Whether everything that this page asks answers; `missing` names what does not."""

    status: Literal["ok", "degraded"]
    missing: list[Part]


class Dashboard(BaseModel):
    """Everything at a glance. To an admin, trainings, GPUs, holders and activity are everybody's."""

    scope: Literal["yours", "everybody"]
    datasets: DatasetFigures
    models: ModelFigures
    trainings: Trainings
    gpus: Gpus
    storage: StorageFigures
    holders: list[Holder] = Field(description="Jobs that run and endpoints that are awake, longest first.")
    activity: list[Activity] = Field(description="The last days, oldest first.")
    queues: list[QueueFigures] | None
    system: SystemStatus
