"""The folders SageMaker gives a container, how a job's configuration is read, and how a failure is reported.

Source: SageMaker Developer Guide, "How Amazon SageMaker Provides Training Information" and "Run Your Training Image".
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

FAILURE_CHARACTERS = 1024  # DescribeTrainingJob returns this much of the failure file


FailureClass = Literal["memory", "data", "code"]


class TrainingError(Exception):
    """A cause that the person who started the job can act on: its text becomes the job's failure reason.

    `failure` says where to act: on the data, on the parameters or the script (`code`), on the size of the machine.
    """

    def __init__(self, reason: str, failure: FailureClass = "data") -> None:
        super().__init__(reason)
        self.failure: FailureClass = failure


class ScriptError(TrainingError):
    """A fault of a user's own script, of its ZIP, or of what it left."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, failure="code")


class Stopped(Exception):
    """The platform asked the job to stop, and whatever can be resumed is saved."""


@dataclass(frozen=True)
class Paths:
    """Where SageMaker puts what a container reads, and looks for what it writes."""

    base: Path

    @classmethod
    def from_environment(cls) -> "Paths":
        return cls(Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")))

    @property
    def hyperparameters(self) -> Path:
        return self.base / "input/config/hyperparameters.json"

    @property
    def model(self) -> Path:
        return self.base / "model"

    @property
    def output_data(self) -> Path:
        return self.base / "output/data"

    @property
    def failure(self) -> Path:
        return self.base / "output/failure"

    @property
    def checkpoints(self) -> Path:
        return self.base / "checkpoints"

    def channel(self, name: str) -> Path:
        """The folder of one input channel."""
        return self.base / "input/data" / name


@dataclass(frozen=True)
class Job:
    """What the control plane says about this job; `parameters` are still unchecked."""

    job_id: str
    stage: str
    training_type: str
    parameters: dict[str, Any]
    kind: str = "training"
    """What to do: `training`, or `evaluation` of the model in channel `model`."""
    column_mapping: dict[str, str] = field(default_factory=dict)
    """{role: column of the data}; a role that is not in it is the name of its column."""
    base_model: str | None = None
    """What the weights in channel `model` are called: `user_id/model_id@version` of the registry."""
    script: dict[str, Any] = field(default_factory=dict)
    """Of a custom job: `entry_point`, and the `sha256` of the ZIP."""


def read_job(paths: Paths) -> Job:
    """Read the configuration channel; hyperparameters of the same names take precedence (a tuning job sets those).

    Hyperparameters are strings in SageMaker's API; their values stay strings here and are decoded with their types.
    Raises TrainingError if there are neither.
    """
    hyperparameters = read_json_object(paths.hyperparameters) if paths.hyperparameters.is_file() else {}
    file = paths.channel("config") / str(hyperparameters.pop("config", "config.json"))
    config = read_json_object(file) if file.is_file() else {}
    overrides = {name: value for name, value in hyperparameters.items() if not name.startswith(("_", "sagemaker_"))}
    if not config and not overrides:
        raise TrainingError(f"The job has no parameters: there is no {file.name} in channel 'config'.", "code")
    return Job(
        job_id=config.get("job_id", os.environ.get("SLIPWAY_JOB_ID", "")),
        stage=config.get("stage", os.environ.get("SLIPWAY_STAGE", "")),
        training_type=config.get("training_type", ""),
        parameters={**config.get("parameters", {}), **overrides},
        kind=config.get("kind", "training"),
        column_mapping=config.get("column_mapping", {}),
        base_model=config.get("base_model"),
        script=config.get("script", {}),
    )


def read_json_object(path: Path) -> dict[str, Any]:
    """Raises TrainingError unless the file holds one JSON object."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise TrainingError(f"{path.name} is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise TrainingError(f"{path.name} must hold one JSON object.")
    return value


def run_training(train: Callable[[Paths], None]) -> int:
    """Run one training job to an exit status: 0 when it completed or was stopped, 1 when it failed."""
    paths = Paths.from_environment()
    try:
        train(paths)
    except Stopped as stop:
        print(stop, flush=True)
        return 0
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        paths.failure.parent.mkdir(parents=True, exist_ok=True)
        paths.failure.write_text(failure_reason(error)[:FAILURE_CHARACTERS], "utf-8", "backslashreplace")
        return 1
    return 0


def failure_reason(error: Exception) -> str:
    """The class in brackets, for the control plane (lambdas/jobs/failures.py), then the cause, short and first.

    An error nobody foresaw keeps its type, because that is what a search finds.
    """
    if isinstance(error, TrainingError):
        return f"[{'memory' if out_of_memory(error) else error.failure}] {error}"
    if out_of_memory(error):
        advice = "The job ran out of memory: choose a larger instance type or a smaller dataset."
        return f"[memory] {advice} {error}".strip()
    return f"[code] Unexpected {type(error).__name__}: {error}"


def out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, a GPU's included: torch raises types of its own, and plain RuntimeError."""
    named = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    return named or "out of memory" in str(error).lower() or "can't allocate memory" in str(error)
