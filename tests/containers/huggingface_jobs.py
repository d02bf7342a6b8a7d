"""Several jobs of the huggingface image in one process."""

import subprocess
from collections.abc import Sequence

from tests.containers.jobs import Job

# Starting a process per job would spend seconds on importing the same libraries.
RUN_EACH = """
import os, sys
from training_containers.huggingface.training import main
statuses = []
for base in sys.argv[1:]:
    os.environ["SAGEMAKER_BASE_DIR"] = base
    statuses.append(main())
sys.exit(max(statuses))
"""


def run_together(jobs: Sequence[Job]) -> subprocess.CompletedProcess[str]:
    """Run jobs one after another in one process of the image; its status is 1 if one of them failed."""
    first = jobs[0]
    return subprocess.run(
        [first.image.python, "-c", RUN_EACH, *(str(job.base) for job in jobs)],
        cwd=first.image.directory,
        env=first.environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
