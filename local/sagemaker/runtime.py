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
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.invocation_metrics import InvocationMetrics
from local.sagemaker.protocol import Response, ServiceError, Stream, not_implemented
from local.sagemaker.serving import INVOKE_TIMEOUT, LOG_GROUP, Reply, Serving
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
    def __init__(self, cloud: Cloud, endpoints: Endpoints, queue: AsyncInference) -> None:
        self._cloud, self._endpoints, self._queue = cloud, endpoints, queue
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
        if component is not None:
            raise ServiceError("ValidationError", "Inference components are not implemented by the local platform.")
        if self._endpoint(name).get("AsyncInferenceConfig"):
            raise ServiceError("ValidationError", f"Endpoint {name} is asynchronous: call InvokeEndpointAsync.")
        serving, _ = self._endpoints.serving(name)
        if serving is None:
            raise ServiceError("ServiceUnavailable", f"Endpoint {name} is starting its container again.", 503)
        serverless = serving.plan.variant.get("ServerlessConfig")
        limit = SERVERLESS_LIMIT if serverless else LIMIT
        if len(body) > limit:
            raise ServiceError("ValidationError", f"Request size {len(body)} exceeds the limit of {limit} bytes.", 413)
        if serverless and serving.busy >= serverless["MaxConcurrency"]:
            raise ServiceError("ThrottlingException", "Rate exceeded: MaxConcurrency calls are under way.", 429)
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
            raise self._no_answer(name, error) from error
        finally:
            self._count(name, serving, status, called - began, time.perf_counter() - called)
        return self._answer(name, serving.plan.variant["VariantName"], reply)

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
            raise self._model_error(name, status, content.decode(errors="replace"))
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
            raise self._no_answer(name, error) from error
        finally:
            self._count(name, serving, status, called - began, time.perf_counter() - called)
        return streamed

    def _count(self, name: str, serving: Serving, status: int, overhead: float, model: float) -> None:
        """Counts a call, for the update under way and for CloudWatch; no answer of the container is status 0."""
        variant = serving.plan.variant["VariantName"]
        self._endpoints.metrics.note(name, variant, serving.plan.config, status)
        self._metrics.count(name, variant, status, model, overhead)

    def _answer(self, name: str, variant: str, reply: Reply) -> Response:
        status, headers, content = reply
        if not 200 <= status < 300:
            raise self._model_error(name, status, content.decode(errors="replace"))
        if len(content) > LIMIT:
            raise self._model_error(name, status, f"The response of {len(content)} bytes exceeds {LIMIT} bytes.")
        answer = {"Content-Type": headers.get("content-type", "application/octet-stream"), VARIANT: variant}
        if CUSTOM in headers:
            answer[CUSTOM] = headers[CUSTOM]
        return 200, answer, content

    def _no_answer(self, name: str, error: Exception) -> ServiceError:
        if isinstance(error, TimeoutError):
            said = f"Your invocation timed out after {INVOKE_TIMEOUT:.0f} seconds while waiting for a response."
        else:
            said = f"The container closed the connection: {error!r}"
        return self._model_error(name, 0, said)

    def _model_error(self, name: str, status: int, message: str) -> ServiceError:
        side = "client" if 400 <= status < 500 else "server"
        group = f"{LOG_GROUP}/{name}"
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
