"""One training run: what it was asked for, what it continues, how far it is, and what it leaves."""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar

from training_containers.common import artefacts, checkpoints
from training_containers.common.contract import Job, Paths
from training_containers.common.progress import Progress
from training_containers.common.shutdown import Shutdown
from training_containers.huggingface.parameters import TrainingParameters

LOADED, TRAINED = 5.0, 90.0  # percent of the job when each part is done
LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "diffusers", "peft", "trl", "tokenizers", "safetensors")

AnyParameters = TypeVar("AnyParameters", bound=TrainingParameters)


@dataclass
class Report:
    """What a type says of the model it trained: figures in metrics.json, the rest in manifest.json."""

    task: str
    primary_metric: str
    direction: str
    metrics: dict[str, float]
    plots: dict[str, Any] = field(default_factory=dict)
    """Confusion matrix, figures per class: JSON to draw from."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """What serving must know besides the files."""


@dataclass
class Run(Generic[AnyParameters]):
    """What a type's module works with. In a job of several processes each has one; only the `main` one writes."""

    paths: Paths
    job: Job
    parameters: AnyParameters
    progress: Progress
    shutdown: Shutdown
    newest: checkpoints.Checkpoint | None = None
    """The newest complete checkpoint of the job, whatever it was made of."""
    rank: int = 0
    processes: int = 1
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def main(self) -> bool:
        return self.rank == 0

    @cached_property
    def checkpoint(self) -> checkpoints.Checkpoint | None:
        """The checkpoint that this run continues: complete, and of the same data and parameters."""
        if self.newest and self.newest.state["fingerprint"] != self.fingerprint:
            self.say("The checkpoint belongs to other data or parameters; starting from nothing.")
            return None
        return self.newest

    @cached_property
    def fingerprint(self) -> str:
        """What a checkpoint must share with a run to be continued by it: parameters, the bytes of data and base."""
        channels = [self.paths.channel(name) for name in ("train", "examples", "model")]
        files = [file for folder in channels if folder.exists() for file in artefacts.list_files(folder)]
        identity = {"parameters": asdict(self.parameters), "processes": self.processes, "files": files}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def say(self, text: str) -> None:
        """Print a line for the person who reads the log."""
        if self.main:
            print(text, flush=True)

    def log(self, step: int, max_steps: int, epoch: float, metrics: dict[str, float]) -> None:
        """Tell how training goes, and keep it as history."""
        if self.main:
            self.history.append({"step": step, "epoch": epoch, **metrics})
            percent = LOADED + (TRAINED - LOADED) * step / max(max_steps, 1)
            self.progress.emit("progress", percent, epoch, max_steps, metrics, step=step)

    def complete_checkpoint(self, folder: Path) -> None:
        """Make a checkpoint count: write what the run needs besides it, and its hashes."""
        if self.main:
            state = {
                "sequence": self.progress.sequence,
                "percent": self.progress.percent,
                "history": self.history,
                "fingerprint": self.fingerprint,
            }
            checkpoints.complete(folder, state)

    def publish(self, report: Report) -> None:
        """Write metrics.json, the model card and manifest.json beside the model's files, and end the progress."""
        from training_containers.huggingface import model_card

        primary = {
            "name": report.primary_metric,
            "value": report.metrics[report.primary_metric],
            "direction": report.direction,
        }
        metrics = {"primary_metric": primary, "metrics": report.metrics, **report.plots, "history": self.history}
        manifest = {
            "schema": 1,
            "job_id": self.job.job_id,
            "training_type": self.job.training_type,
            "task": report.task,
            "framework": "pytorch",
            "base_model": self.job.base_model,
            **report.manifest,
            "parameters": asdict(self.parameters),
            "primary_metric": primary,
            "metrics": report.metrics,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        }
        (self.paths.model / "README.md").write_text(model_card.write(manifest), "utf-8")
        artefacts.publish(self.paths, manifest, metrics)
        last = self.history[-1] if self.history else {"step": 0, "epoch": 0.0}
        step = int(last["step"])
        self.progress.emit("final", 100, last["epoch"], step, report.metrics, step=step)
