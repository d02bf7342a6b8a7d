"""InvokeEndpoint and InvokeEndpointAsync: the data plane, from AWS's HTTP binding to the serving process and back."""

import http.client
from urllib.parse import unquote

from local.cloud import Cloud
from local.sagemaker.async_inference import AsyncInference
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.protocol import Response, ServiceError, not_implemented
from local.sagemaker.serving import INVOKE_TIMEOUT, LOG_GROUP, Reply, Serving
from local.sagemaker.store import Record

LIMIT = 6 * 1024 * 1024  # bytes, either way
SERVERLESS_LIMIT = 4 * 1024 * 1024  # bytes of a request
PASSED = ("content-type", "accept", "x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-inference-id")
VARIANT = "x-Amzn-Invoked-Production-Variant"
CUSTOM = "x-amzn-sagemaker-custom-attributes"
OTHER_OPERATIONS = {
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}


class Runtime:
    def __init__(self, cloud: Cloud, endpoints: Endpoints, queue: AsyncInference) -> None:
        self._cloud, self._endpoints, self._queue = cloud, endpoints, queue

    async def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
        """Answers `POST /endpoints/{name}/invocations` and `.../async-invocations`. Raises ServiceError."""
        _, _, name, *rest = unquote(path).split("/")
        operation, lower = "/".join(rest), {key.lower(): value for key, value in headers.items()}
        if method != "POST" or operation not in ("invocations", "async-invocations"):
            raise not_implemented(OTHER_OPERATIONS.get(operation, f"{method} {path}"))
        endpoint = self._endpoint(name)
        if operation == "async-invocations":
            return await self._queue.take(name, endpoint, lower, body)
        return await self._invoke(name, endpoint, lower, body)

    def _endpoint(self, name: str) -> Record:
        """The description of an endpoint that takes calls. Raises ValidationError."""
        _, endpoint = self._endpoints.serving(name)
        if endpoint is None or endpoint["EndpointStatus"] in ("Creating", "Failed", "Deleting"):
            raise ServiceError("ValidationError", f"Endpoint {name} of account {self._cloud.account} not found.")
        return endpoint

    async def _invoke(self, name: str, endpoint: Record, headers: dict[str, str], body: bytes) -> Response:
        if endpoint.get("AsyncInferenceConfig"):
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
        passed = {key: headers[key] for key in PASSED if key in headers}
        return self._answer(name, serving, await self._reply(name, serving, passed, body))

    async def _reply(self, name: str, serving: Serving, passed: dict[str, str], body: bytes) -> Reply:
        """The container's answer, counted. Raises ModelError when there is none."""
        status = 0
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
            plan = serving.plan
            self._endpoints.metrics.note(name, plan.variant["VariantName"], plan.config, status)
        return reply

    def _answer(self, name: str, serving: Serving, reply: Reply) -> Response:
        status, headers, content = reply
        variant = serving.plan.variant["VariantName"]
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
