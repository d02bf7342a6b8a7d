"""Our SageMaker beside the emulator of these tests, where the functions' clients find it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.conftest import forget_clients
from tests.local.services import ROLE, ServicesProcess

SERVICES = ("SAGEMAKER", "SAGEMAKER_RUNTIME", "APPLICATION_AUTO_SCALING")


@contextmanager
def our_sagemaker(folder: Path, serve: str) -> Iterator[ServicesProcess]:
    """Run it as a process of its own, which lives on where a function dies; `serve` is what every image serves with."""
    services = ServicesProcess(folder, os.environ["AWS_ENDPOINT_URL"])
    with pytest.MonkeyPatch.context() as patch:
        for name in SERVICES:
            patch.setenv(f"AWS_ENDPOINT_URL_{name}", services.url)
        patch.setenv("EXECUTION_ROLE_ARN", ROLE)
        patch.setenv("IMAGES", json.dumps({"tabular": services.image("tabular", serve=serve)}))
        forget_clients()
        try:
            yield services
        finally:
            services.close()
    forget_clients()
