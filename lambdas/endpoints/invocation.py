"""How an endpoint is called: by people over this API, its container's words passed on, its errors told apart."""

import json
from dataclasses import dataclass
from typing import Any

from lambdas.common import aws
from lambdas.common.errors import BadRequest, Conflict, ContainerFailed, NotFound, TooLarge, Unavailable
from lambdas.endpoints import generation, llm
from lambdas.endpoints.schemas import Endpoint

MAX_BODY = 4 * 1024 * 1024  # API Gateway and Lambda carry bodies base64-coded: 6 MB are about 4.4 of ours
JSON = "application/json"
NO_COPY = "has no capacity to process this request"  # of a component that has scaled to zero
SERVING = {"in_service", "updating"}  # while it is updated, the old version answers
BUSY = {"ServiceUnavailable", "ThrottlingException", "InternalFailure", "ModelNotReadyException"}


@dataclass(frozen=True)
class Prediction:
    """The container's answer, passed on as it is."""

    body: bytes
    content_type: str


def refuse_unless_serving(endpoint: Endpoint) -> None:
    """Raise Conflict for an endpoint that takes no calls, Unavailable while it wakes up."""
    if endpoint.status == "sleeping":  # nothing wakes it by itself: to try again later would be no use
        raise Conflict(f"{endpoint.reason} POST /endpoints/{endpoint.id}/wake wakes it; it then takes some minutes.")
    if endpoint.status == "creating" and endpoint.wakes:
        raise Unavailable(f"The endpoint {endpoint.id} is waking up; try again in a minute.", retry_after=60)
    if endpoint.status not in SERVING:
        why = f": {endpoint.reason}" if endpoint.reason else ""
        raise Conflict(f"The endpoint {endpoint.id} is {endpoint.status}{why}")


def invoke(endpoint: Endpoint, body: bytes, content_type: str, accept: str) -> Prediction:
    """Send a body to the model and return its answer.

    Raises Conflict when the endpoint is not in service, Unavailable while it wakes up, TooLarge, BadRequest with the
    container's words for input it refused, ContainerFailed when it broke or took too long.
    """
    refuse_unless_serving(endpoint)
    if len(body) > MAX_BODY:
        raise TooLarge(
            f"The body is larger than {MAX_BODY} bytes. Send fewer rows at once, or deploy the model as kind async, "
            "which takes inputs of up to 1 GB."
        )
    if endpoint.kind in llm.KINDS:
        asked = generation.asked(body)
        said = call(endpoint, json.dumps(generation.to_server(asked)).encode(), JSON, JSON)
        return Prediction(generation.from_server(asked, said.body), JSON)
    return call(endpoint, body, content_type, accept)


def call(endpoint: Endpoint, body: bytes, content_type: str, accept: str) -> Prediction:
    """Call the container; raises as `invoke` does."""
    runtime = aws.client("sagemaker-runtime")
    request = {
        "EndpointName": endpoint.sagemaker_endpoint,
        "Body": body,
        "ContentType": content_type,
        "Accept": accept,
    }
    if endpoint.host:
        request["InferenceComponentName"] = endpoint.endpoint_name
    try:
        answer = sent(runtime, request)
        return Prediction(answer["Body"].read(), answer.get("ContentType", "application/octet-stream"))
    except runtime.exceptions.ModelError as error:
        raise container_error(error.response) from error
    except Exception as error:
        if type(error).__name__ == "ReadTimeoutError":
            raise ContainerFailed(
                f"The model did not answer within {aws.INVOKE_SECONDS} seconds, which is as long as this API waits. "
                "Send less at once, or deploy it as kind async, which may take an hour."
            ) from error
        if aws.error_code(error) in BUSY:
            raise Unavailable("The endpoint did not answer; try again in a moment.", retry_after=2) from error
        if NO_COPY in str(error):
            raise Unavailable(
                f"The endpoint {endpoint.id} has scaled to zero, and this call has told it to come back, which takes "
                "some minutes; try again then.",
                retry_after=60,
            ) from error
        if aws.error_code(error) == "ValidationError":
            raise NotFound(f"SageMaker has no endpoint {endpoint.endpoint_name}; deploy the model again.") from error
        raise


def sent(runtime: Any, request: dict[str, Any]) -> Any:
    """Return the answer to a call; one whose kept connection had been closed meanwhile is sent once more."""
    try:
        return runtime.invoke_endpoint(**request)
    except Exception as error:
        if type(error).__name__ != "ConnectionClosedError":
            raise
        return runtime.invoke_endpoint(**request)


def container_error(response: dict[str, Any]) -> BadRequest | ContainerFailed:
    """Return the error that a container's answer stands for: its 4xx is the caller's, anything else its own."""
    status, message = response.get("OriginalStatusCode", 500), message_of(response.get("OriginalMessage", ""))
    if 400 <= status < 500:
        return BadRequest(f"The model refused the input: {message}")
    return ContainerFailed(f"The model's container failed: {message}")


def message_of(said: str) -> str:
    """Return the words of a container's error; those of another shape than ours are passed on as they are."""
    try:
        said = json.loads(said)["detail"]
    except (ValueError, KeyError, TypeError):
        pass
    return str(said)[:1000]
