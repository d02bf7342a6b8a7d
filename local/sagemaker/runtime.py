"""Invocations: the data plane, from AWS's HTTP bindings to the serving process and back."""

import http.client
import json
import time
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import unquote

from local.cloud import Cloud
from local.sagemaker import event_stream
from local.sagemaker.async_inference import AsyncInference
from local.sagemaker.components import NO_COPY
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.invocation_metrics import InvocationMetrics
from local.sagemaker.protocol import Response, ServiceError, Stream, not_implemented
from local.sagemaker.scaling import Scaling
from local.sagemaker.serving import INVOKE_TIMEOUT, Reply, Serving
from local.sagemaker.store import Record

LIMIT = 6 * 1024 * 1024  # bytes, either way
SERVERLESS_LIMIT = 4 * 1024 * 1024  # bytes of a request
PASSED = ("content-type", "accept", "x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-inference-id")
VARIANT = "x-Amzn-Invoked-Production-Variant"
CUSTOM = "x-amzn-sagemaker-custom-attributes"
COMPONENT = "x-amzn-sagemaker-inference-component"
STREAMED_ACCEPT, STREAMED_TYPE = "x-amzn-sagemaker-accept", "X-Amzn-SageMaker-Content-Type"
CHAT = "/v1/chat/completions"  # where containers answer OpenAI's clients


class Runtime:
    def __init__(self, cloud: Cloud, endpoints: Endpoints, queue: AsyncInference, scaling: Scaling) -> None:
        self._cloud, self._endpoints, self._queue, self._scaling = cloud, endpoints, queue, scaling
        self._metrics = InvocationMetrics(cloud.client)

    async def close(self) -> None:
        """Return when CloudWatch has what was counted of the calls."""
        await self._metrics.close()

    async def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
        """Answers `POST /endpoints/{name}/` invocations, invocations-response-stream, async-invocations.

        Raises ServiceError.
        """
        began = time.perf_counter()
        _, _, name, *rest = unquote(path).split("/")
        operation, lower = "/".join(rest), {key.lower(): value for key, value in headers.items()}
        if (method, operation) == ("POST", "async-invocations"):
            return await self._queue.take(name, self._endpoint(name), lower, body)
        answer = {"invocations": self._invoke, "invocations-response-stream": self._invoke_streaming}.get(operation)
        if method != "POST" or answer is None:
            raise not_implemented(f"{method} {path}")
        serving = self._serving(name, lower.get(COMPONENT), body)
        return await answer(name, serving, body, lower, began)

    async def chat(self, name: str, component: str | None, body: bytes, headers: dict[str, str]) -> Response:
        """Answers an OpenAI client with what the container says, as it says it. Raises ServiceError."""
        began = time.perf_counter()
        serving = self._serving(name, component, body)
        status, given, pieces = await self._streamed(name, serving, CHAT, body, headers, began)
        return status, {"Content-Type": given.get("content-type", "application/json")}, Stream(pieces)

    def _endpoint(self, name: str) -> Record:
        """The description of an endpoint that takes calls. Raises ServiceError."""
        _, endpoint = self._endpoints.serving(name)
        if endpoint is None or endpoint["EndpointStatus"] in ("Creating", "Failed", "Deleting"):
            raise ServiceError("ValidationError", f"Endpoint {name} of account {self._cloud.account} not found.")
        return endpoint

    def _serving(self, name: str, component: str | None, body: bytes) -> Serving:
        """The process that answers. Raises ServiceError when there is none, or it cannot take this body now."""
        if self._endpoint(name).get("AsyncInferenceConfig"):
            raise ServiceError("ValidationError", f"Endpoint {name} is asynchronous: call InvokeEndpointAsync.")
        serving = self._of_component(name, component) if component else self._endpoints.serving(name)[0]
        if component is None and self._endpoints.hosts(name):
            raise ServiceError("ValidationError", f"Endpoint {name} has inference components: name one of them.")
        if serving is None:
            raise ServiceError("ServiceUnavailable", f"Endpoint {name} is starting its container again.", 503)
        serverless = serving.plan.variant.get("ServerlessConfig")
        limit = SERVERLESS_LIMIT if serverless else LIMIT
        if len(body) > limit:
            raise ServiceError("ValidationError", f"Request size {len(body)} exceeds the limit of {limit} bytes.", 413)
        if serverless and serving.busy >= serverless["MaxConcurrency"]:
            raise ServiceError("ThrottlingException", "Rate exceeded: MaxConcurrency calls are under way.", 429)
        return serving

    def _of_component(self, endpoint: str, component: str) -> Serving | None:
        """The process of an inference component. Raises ServiceError, and lets it come back, when it has no copy."""
        serving, copies = self._scaling.components.serving(endpoint, component)
        if copies == 0:
            self._metrics.without_capacity(component)
            self._scaling.leave_zero(component)
            raise ServiceError("ValidationError", NO_COPY)
        return serving

    async def _invoke(
        self, name: str, serving: Serving, body: bytes, headers: dict[str, str], began: float
    ) -> Response:
        passed = {key: headers[key] for key in PASSED if key in headers}
        called, status = time.perf_counter(), 0
        try:
            reply = await serving.invoke(body, passed)
            status = reply[0]
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(serving, error) from error
        finally:
            self._count(name, serving, status, called - began, time.perf_counter() - called)
        return self._answer(serving, reply)

    async def _invoke_streaming(
        self, name: str, serving: Serving, body: bytes, headers: dict[str, str], began: float
    ) -> Response:
        """As the container answers; an error that it answers with is no stream."""
        passed = {key: headers[key] for key in PASSED if key in headers and key != "accept"}
        if STREAMED_ACCEPT in headers:
            passed["accept"] = headers[STREAMED_ACCEPT]
        status, given, pieces = await self._streamed(name, serving, "/invocations", body, passed, began)
        if not 200 <= status < 300:
            content = b"".join([piece async for piece in pieces])
            raise self._model_error(serving, status, content.decode(errors="replace"))
        answer = {
            "Content-Type": event_stream.CONTENT_TYPE,
            STREAMED_TYPE: given.get("content-type", "application/octet-stream"),
            VARIANT: serving.plan.variant["VariantName"],
        }
        if CUSTOM in given:
            answer[CUSTOM] = given[CUSTOM]
        return 200, answer, Stream(encoded(pieces))

    async def _streamed(
        self, name: str, serving: Serving, path: str, body: bytes, headers: dict[str, str], began: float
    ) -> Any:
        called, status = time.perf_counter(), 0
        try:
            streamed = await serving.stream(path, body, headers)
            status = streamed[0]
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(serving, error) from error
        finally:
            self._count(name, serving, status, called - began, time.perf_counter() - called)
        return streamed

    def _count(self, name: str, serving: Serving, status: int, overhead: float, model: float) -> None:
        """Counts a call, for the update under way and for CloudWatch; no answer of the container is status 0."""
        variant, component = serving.plan.variant["VariantName"], serving.plan.component
        noted = f"component/{component}" if component else name
        self._endpoints.metrics.note(noted, variant, serving.plan.config, status)
        self._metrics.count(name, variant, component, status, model, overhead)

    def _answer(self, serving: Serving, reply: Reply) -> Response:
        status, headers, content = reply
        variant = serving.plan.variant["VariantName"]
        if not 200 <= status < 300:
            raise self._model_error(serving, status, content.decode(errors="replace"))
        if len(content) > LIMIT:
            raise self._model_error(serving, status, f"The response of {len(content)} bytes exceeds {LIMIT} bytes.")
        answer = {"Content-Type": headers.get("content-type", "application/octet-stream"), VARIANT: variant}
        if CUSTOM in headers:
            answer[CUSTOM] = headers[CUSTOM]
        return 200, answer, content

    def _no_answer(self, serving: Serving, error: Exception) -> ServiceError:
        if isinstance(error, TimeoutError):
            said = f"Your invocation timed out after {INVOKE_TIMEOUT:.0f} seconds while waiting for a response."
        else:
            said = f"The container closed the connection: {error!r}"
        return self._model_error(serving, 0, said)

    def _model_error(self, serving: Serving, status: int, message: str) -> ServiceError:
        side = "client" if 400 <= status < 500 else "server"
        group = serving.plan.log_group
        return ServiceError(
            "ModelError",
            f'Received {side} error ({status}) from primary with message "{message}". '
            f"See the log group {group} in account {self._cloud.account} for more information.",
            424,
            {
                "OriginalStatusCode": status,
                "OriginalMessage": message,
                "LogStreamArn": f"arn:aws:logs:{self._cloud.region}:{self._cloud.account}:log-group:{group}",
            },
        )


async def encoded(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """What the container says as events; an error in the middle is the last of them."""
    try:
        async for piece in pieces:
            yield event_stream.event("PayloadPart", piece)
    except (OSError, http.client.HTTPException) as error:
        said = {"Message": f"The container closed the connection: {error!r}", "ErrorCode": "StreamBroken"}
        yield event_stream.failure("ModelStreamError", json.dumps(said).encode())
    finally:
        await pieces.aclose()
