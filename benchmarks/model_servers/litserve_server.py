"""LitServe with the slow model: python litserve_server.py <seconds to wait for a batch>."""

# pyright: reportMissingImports=false

import os
import sys
from typing import Any

import litserve
from model import MOST, slow  # beside this file


class Slow(litserve.LitAPI):
    """One row a request, batches of the server's making."""

    def setup(self, device: str) -> None:
        """There is nothing to load."""

    def decode_request(self, request: dict[str, Any]) -> list[float]:
        """The only row."""
        return request["instances"][0]

    def batch(self, inputs: list[list[float]]) -> list[list[float]]:
        """The rows as they are."""
        return inputs

    def predict(self, x: list[list[float]]) -> list[float]:
        """The sums."""
        return slow(x)

    def unbatch(self, output: list[float]) -> list[float]:
        """The sums as they are."""
        return output

    def encode_response(self, output: float) -> dict[str, Any]:
        """One prediction."""
        return {"predictions": [output]}


if __name__ == "__main__":
    api = Slow(max_batch_size=MOST, batch_timeout=float(sys.argv[1]), api_path="/invocations")
    server = litserve.LitServer(api, accelerator="cpu", fast_queue=True)
    server.run(port=int(os.environ["SAGEMAKER_BIND_TO_PORT"]), generate_client_file=False, log_level="warning")
