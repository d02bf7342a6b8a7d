"""What is seen of a job from outside of its container: how it fails, what it uses, its log as a file, its plots."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FailureClass = Literal["memory", "data", "capacity", "quota", "permission", "code", "timeout", "unknown"]


class Failure(BaseModel):
    """Why a job failed, in one word that a program can act on, and what to try."""

    model_config = ConfigDict(populate_by_name=True)

    class_: FailureClass = Field(alias="class")
    fix: str


class Hint(BaseModel):
    """Advice for a job that is slow or learns poorly, with the figure that it rests on."""

    code: str
    message: str
    fix: str


class ResourceUse(BaseModel):
    """One resource over the minutes looked at, in percent."""

    newest: float
    mean: float
    peak: float


class Utilization(BaseModel):
    """What the job's first instance uses. CPUs and GPUs add up: four busy cores are 400 percent."""

    cpu: ResourceUse | None = None
    memory: ResourceUse | None = None
    gpu: ResourceUse | None = None
    gpu_memory: ResourceUse | None = None
    disk: ResourceUse | None = None
    minutes: int = Field(description="From the first figure to the newest one.")


class LogFile(BaseModel):
    """A job's whole log as an object in S3, as it was at `made_at`."""

    key: str
    bytes: int
    made_at: str


class LogDownload(BaseModel):
    """Where the whole log is, or that it is being made: ask again after `retry_after_seconds`."""

    status: Literal["ready", "preparing"]
    url: str | None = Field(default=None, description="A gzip file, good for `expires_in_seconds`.")
    bytes: int | None = None
    made_at: str | None = Field(default=None, description="A running job's later lines are not in it.")
    expires_in_seconds: int | None = None
    retry_after_seconds: int | None = None


class SeriesPoint(BaseModel):
    """A metric over the lines from the point before to this one: the last value, and the range of all of them."""

    sequence: int
    time: str
    epoch: float | None = None
    step: int | None = None
    value: float
    low: float
    high: float


class MetricSeries(BaseModel):
    """Every metric of a job from its first line to its newest, in a number of points that a plot can show."""

    lines: int = Field(description="Progress lines printed so far.")
    lines_per_point: int
    series: dict[str, list[SeriesPoint]]
