"""BentoML with the slow model and its adaptive batching, of up to 16."""

# pyright: reportMissingImports=false

import os
import sys

import bentoml
from model import MOST, slow  # beside this file


@bentoml.service(traffic={"timeout": 30}, workers=1)
class Slow:
    """Batches of rows, of the server's making."""

    @bentoml.api(route="/invocations", batchable=True, max_batch_size=MOST, max_latency_ms=1000)
    def invocations(self, instances: list[list[float]]) -> list[float]:
        """The sums."""
        return slow(instances)


if __name__ == "__main__":
    program = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        "bentoml_server:Slow",
        "--port",
        os.environ["SAGEMAKER_BIND_TO_PORT"],
    ]
    os.execv(sys.executable, [*program, "--host", "127.0.0.1"])
