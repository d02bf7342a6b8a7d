"""Our local SageMaker: one request handler over jobs, models, endpoint configurations and endpoints."""

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, Protocol

from local.cloud import Cloud
from local.sagemaker.async_inference import AsyncInference
from local.sagemaker.components import Components
from local.sagemaker.deployment import BAKING_SPEED
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.events import EventSender
from local.sagemaker.models import EndpointConfigs, Models
from local.sagemaker.processing import ProcessingJobs
from local.sagemaker.protocol import (
    Response,
    ServiceError,
    error_response,
    invalid,
    json_response,
    not_implemented,
    parsed,
    problems,
    project,
    service_model,
)  # fmt: skip
from local.sagemaker.runtime import Runtime
from local.sagemaker.scaling import IDLE, SCALING_TARGET, Scaling
from local.sagemaker.store import Record
from local.sagemaker.tags import Tags
from local.sagemaker.training import TrainingJobs

logger = logging.getLogger(__name__)
STOP_GRACE = 120.0  # seconds between SIGTERM and SIGKILL of StopTrainingJob; of StopProcessingJob AWS says none
HEALTH_TIMEOUT = 480.0  # seconds a container has to answer its first ping
SHUTDOWN_GRACE = 5.0  # seconds a program has to end when the platform goes down


class Follower(Protocol):
    """What `SageMaker.attach` takes."""

    async def start(self) -> None: ...

    async def shutdown(self) -> None: ...


class SageMaker:
    """Create, call and close it on one event loop; the graces and timeouts are SageMaker's unless a test sets them."""

    def __init__(
        self,
        cloud: Cloud,
        stop_grace: float = STOP_GRACE,
        health_timeout: float = HEALTH_TIMEOUT,
        baking_speed: float = BAKING_SPEED,
        idle: float = IDLE,
    ) -> None:
        self._model = service_model("sagemaker")
        self._events = EventSender(cloud)
        self.training = TrainingJobs(cloud, self._events, stop_grace)
        self.processing = ProcessingJobs(cloud, self._events, stop_grace)
        self._models = Models(cloud)
        self._configs = EndpointConfigs(cloud, self._models)
        self._endpoints = Endpoints(cloud, self._models, self._configs, self._events, health_timeout, baking_speed)
        self._components = Components(cloud, self._models, self._configs, self._endpoints, health_timeout, baking_speed)
        self._queue = AsyncInference(cloud, self._endpoints)
        self._scaling = Scaling(cloud, self._endpoints, self._components, idle)
        self._runtime = Runtime(cloud, self._endpoints, self._queue, self._scaling)
        self._operations = self._table()
        self._followers: list[Follower] = []

    def attach(self, follower: Follower) -> None:
        """A service on top of this one: started after it, closed before it."""
        self._followers.append(follower)

    async def start(self) -> None:
        """Recovers what an earlier platform left; S3 must answer by now, as endpoints may read their models again."""
        await self.training.start()
        await self.processing.start()
        self._endpoints.start()
        self._components.start()
        await self._scaling.start()
        self._queue.start()
        for follower in self._followers:
            await follower.start()

    async def shutdown(self, grace: float = SHUTDOWN_GRACE) -> None:
        """Ends every process and stores the state; S3 and logs must still answer."""
        for follower in self._followers:
            await follower.shutdown()
        await asyncio.gather(self.training.shutdown(grace), self.processing.shutdown(grace))
        await self._queue.shutdown()
        await self._runtime.close()
        await self._scaling.shutdown()
        await self._components.shutdown(grace)
        await self._endpoints.shutdown(grace)
        await self._events.close()

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answers one HTTP request of the SageMaker or SageMaker Runtime API; header names are lower case."""
        try:
            if path.startswith("/endpoints/"):
                return await self._runtime.handle(method, path, headers, body)
            target = headers.get("x-amz-target", "")
            if target.startswith(SCALING_TARGET):
                return json_response(self._scaling.call(target.removeprefix(SCALING_TARGET), parsed(body)))
            operation = target.removeprefix("SageMaker.")
            return json_response(await self.call(operation, parsed(body)))
        except ServiceError as error:
            return error_response(error)
        except Exception as error:
            logger.exception("%s %s", method, headers.get("x-amz-target", path))
            return error_response(ServiceError("InternalFailure", repr(error), 500))

    async def chat(self, endpoint: str, component: str | None, body: bytes, headers: dict[str, str]) -> Response:
        """Answers an OpenAI client of an endpoint, whose right to ask was checked before."""
        try:
            return await self._runtime.chat(endpoint, component, body, headers)
        except ServiceError as error:
            return error_response(error)

    async def call(self, operation: str, request: Record) -> Record:
        """One API operation, validated like any client's. Raises ServiceError."""
        implementation = self._operations.get(operation)
        if implementation is None:
            raise not_implemented(f"SageMaker's operation {operation or '(none given)'}")
        model = self._model.operation_model(operation)
        if found := problems(model.input_shape, request):
            raise invalid(" ".join(found))
        result = implementation(request)
        return project(model.output_shape, await result if inspect.isawaitable(result) else result) or {}

    def _table(self) -> dict[str, Callable[[Record], Any]]:
        nouns = {
            "TrainingJob": self.training,
            "ProcessingJob": self.processing,
            "Model": self._models,
            "EndpointConfig": self._configs,
            "Endpoint": self._endpoints,
            "InferenceComponent": self._components,
        }
        tags = Tags([resource.store for resource in nouns.values()])
        table: dict[str, Callable[[Record], Any]] = {
            "StopTrainingJob": self.training.stop,
            "StopProcessingJob": self.processing.stop,
            "UpdateEndpoint": self._endpoints.update,
            "UpdateInferenceComponent": self._components.update,
            "UpdateInferenceComponentRuntimeConfig": self._components.update_copies,
            "AddTags": tags.add,
            "DeleteTags": tags.remove,
            "ListTags": tags.list,
        }
        for noun, resource in nouns.items():
            table[f"Create{noun}"], table[f"Describe{noun}"] = resource.create, resource.describe
            table[f"Delete{noun}"], table[f"List{noun}s"] = resource.delete, resource.list
        return table
