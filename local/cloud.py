"""What our local SageMaker and Batch need from the cloud around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.faults import Faults

CALLER_HEADER = "x-slipway-caller"


class ImageNotFound(LookupError):
    """No image of the deployed assembly has this URI."""


@dataclass(frozen=True)
class Image:
    """A container image as folders: the sources it copies and the Python that has its requirements."""

    directory: Path  # the image's /opt/program: its entrypoint finds its package there, so it belongs on PYTHONPATH
    family: str  # the folder its Dockerfile is in, for instance "tabular"
    python: Path  # the interpreter of the image's environment
    entrypoint: tuple[str, ...] = ()  # the Dockerfile's, with `python` above; () where SageMaker starts `train`


@dataclass(frozen=True)
class Cloud:
    """The cloud's callables. `client` makes blocking HTTP calls: never use one on the event loop's thread."""

    home: Path  # the folder of our SageMaker's state
    region: str
    account: str
    client: Callable[..., Any]  # client("s3", role_arn=None): boto3 against the emulator, as root or as the role
    emit: Callable[[str, str, dict, list[str]], None]  # (source, detail type, detail, resource ARNs) to EventBridge
    role_allows: Callable[[str, str, str], bool]  # (role ARN, action, resource ARN), by the emulator's evaluator
    image: Callable[[str], Image]  # image URI -> Image; raises ImageNotFound
    faults: Faults = field(default_factory=Faults)  # reads quota and capacity_wait
