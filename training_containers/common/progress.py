"""The progress line: one JSON object a line on stdout, which the control plane reads from the job's log."""

import json
from datetime import UTC, datetime

from training_containers.common.artefacts import finite

SMALLEST_STEP = 0.5  # percent between two `progress` lines: at most 200 lines, however many epochs


class Progress:
    """Numbers the lines and keeps the percentage from falling, also across a resumed run."""

    def __init__(self, stage: str, job_id: str, sequence: int = 0, percent: float = 0.0) -> None:
        self.stage = stage
        self.job_id = job_id
        self.sequence = sequence
        self.percent = percent

    def due(self, percent: float) -> bool:
        """Whether another `progress` line would tell something new."""
        return percent - self.percent >= SMALLEST_STEP

    def emit(
        self,
        event: str,
        percent: float,
        epoch: float = 0,
        max_steps: int = 0,
        metrics: dict[str, float] | None = None,
        *,
        step: int | None = None,
    ) -> None:
        """Print one line; `event` is started, progress, eval or final. Without `step`, an epoch is one."""
        self.sequence += 1
        self.percent = max(self.percent, round(percent, 2))
        line = {
            "slipway": self.stage,
            "job_id": self.job_id,
            "sequence": self.sequence,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "percent": self.percent,
            "epoch": epoch,
            "step": epoch if step is None else step,
            "max_steps": max_steps,
            "metrics": finite(metrics or {}),
        }
        print(json.dumps(line, allow_nan=False), flush=True)
