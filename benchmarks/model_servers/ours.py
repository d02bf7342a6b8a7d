"""Our server with one of the models: python ours.py sum|slow."""

import json
import sys
from typing import Any

from model import MOST, slow, sums  # beside this file

from training_containers.common import server
from training_containers.common.batching import Model


def read(body: bytes, media_type: str) -> tuple[list[Any], dict[str, Any]]:
    """The rows of a request."""
    return json.loads(body)["instances"], {}


predict = sums if sys.argv[1] == "sum" else slow
sample = (b'{"instances": [[1.0]]}', "application/json")
sys.exit(server.run(lambda: Model(read, lambda rows, _: predict(rows), sample, MOST)))
