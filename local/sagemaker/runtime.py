"""InvokeEndpoint: the data plane, from AWS's HTTP binding to the serving process and back."""

import http.client
import time
from urllib.parse import unquote

from local.cloud import Cloud
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.invocation_metrics import InvocationMetrics
from local.sagemaker.protocol import Response, ServiceError, not_implemented
from local.sagemaker.serving import INVOKE_TIMEOUT, LOG_GROUP, Reply

LIMIT = 6 * 1024 * 1024  # bytes, either way
PASSED = ("content-type", "accept", "x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-inference-id")
VARIANT = "x-Amzn-Invoked-Production-Variant"
CUSTOM = "x-amzn-sagemaker-custom-attributes"
OTHER_OPERATIONS = {
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
    "async-invocations": "InvokeEndpointAsync",
}


class Runtime:
    def __init__(self, cloud: Cloud, endpoints: Endpoints) -> None:
        self._cloud, self._endpoints = cloud, endpoints
        self._metrics = InvocationMetrics(cloud.client)

    async def close(self) -> None:
        """Return when CloudWatch has what was counted of the calls."""
        await self._metrics.close()

    async def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
        """Answers `POST /endpoints/{name}/invocations`. Raises ServiceError."""
        began = time.perf_counter()
        _, _, name, *rest = unquote(path).split("/")
        operation = "/".join(rest)
        if (method, operation) != ("POST", "invocations"):
            raise not_implemented(OTHER_OPERATIONS.get(operation, f"{method} {path}"))
        if len(body) > LIMIT:
            raise ServiceError("ValidationError", f"Request size {len(body)} exceeds the limit of {LIMIT} bytes.", 413)
        serving, endpoint = self._endpoints.serving(name)
        if endpoint is None or endpoint["EndpointStatus"] in ("Creating", "Failed", "Deleting"):
            raise ServiceError("ValidationError", f"Endpoint {name} of account {self._cloud.account} not found.")
        if serving is None:
            raise ServiceError("ServiceUnavailable", f"Endpoint {name} is starting its container again.", 503)
        lower = {key.lower(): value for key, value in headers.items()}
        passed = {key: lower[key] for key in PASSED if key in lower}
        called, status = time.perf_counter(), 0
        try:
            reply = await serving.invoke(body, passed)
            status = reply[0]
        except TimeoutError as error:
            raise self._model_error(
                name, 0, f"Your invocation timed out after {INVOKE_TIMEOUT:.0f} seconds while waiting for a response."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._model_error(name, 0, f"The container closed the connection: {error!r}") from error
        finally:
            answered = time.perf_counter()
            variant = serving.plan.variant["VariantName"]
            overhead = called - began + time.perf_counter() - answered
            self._metrics.count(name, variant, status, answered - called, overhead)
        return self._answer(name, serving.plan.variant["VariantName"], reply)

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
