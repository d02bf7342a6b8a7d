"""Calls of asynchronous endpoints: the input goes to S3, the answer comes there, and `find` says how far it is.

All that is kept of a call are objects below its endpoint's prefix: the input, what SageMaker said when it took the
call (`call.json`), and the answer or failure where that says. They go with the endpoint.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.common import aws, objects
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict, NotFound, TooLarge
from lambdas.common.ids import new_id
from lambdas.common.store import now
from lambdas.endpoints import invocation
from lambdas.endpoints.endpoint_request import inferences_prefix
from lambdas.endpoints.schemas import Endpoint, Inference, InferenceCreate, InputUpload

URL_SECONDS = 3600
QUEUE_SECONDS, CALL_SECONDS = 21_600, 3600  # SageMaker's longest: in the queue, and in the container
LONGEST = timedelta(seconds=QUEUE_SECONDS + CALL_SECONDS)
REASON_BYTES = 4000


def submit(endpoint: Endpoint, body: bytes, content_type: str, accept: str, url: str) -> Inference:
    """Store an input and let the model answer it later. Raises Conflict, TooLarge."""
    invocation.refuse_unless_serving(endpoint)
    if len(body) > invocation.MAX_BODY:
        raise TooLarge(
            f"The body is larger than {invocation.MAX_BODY} bytes; POST {url} gives a URL to upload up to 1 GB to."
        )
    id = new_id("inf")
    stored = {"ContentType": content_type, "Metadata": {"accept": accept}}
    aws.client("s3").put_object(Bucket=bucket(), Key=key(endpoint, id, "input"), Body=body, **stored)
    return call(endpoint, id, content_type, accept, url)


def begin(endpoint: Endpoint, request: InferenceCreate, url: str) -> Inference:
    """Return where a large input is to be uploaded; `start` then lets the model answer it. Raises Conflict."""
    refuse_unless_async(endpoint)
    invocation.refuse_unless_serving(endpoint)
    id = new_id("inf")
    headers = {"content-type": request.content_type, "x-amz-meta-accept": request.accept}
    signed = aws.s3_presigner().generate_presigned_url(
        "put_object",
        Params={
            "Bucket": bucket(),
            "Key": key(endpoint, id, "input"),
            "ContentType": request.content_type,
            "ContentLength": request.size,
            "Metadata": {"accept": request.accept},
        },
        ExpiresIn=URL_SECONDS,
    )
    upload = InputUpload(url=signed, headers=headers | {"content-length": str(request.size)}, expires_in=URL_SECONDS)
    return Inference(inference_id=id, status="uploading", url=f"{url}/{id}", upload=upload)


def start(endpoint: Endpoint, id: str, url: str) -> Inference:
    """Let the model answer an input that was uploaded; again, it changes nothing. Raises Conflict, NotFound."""
    refuse_unless_async(endpoint)
    invocation.refuse_unless_serving(endpoint)
    if called(endpoint, id):
        return find(endpoint, id, url)
    found = objects.find(bucket(), key(endpoint, id, "input"))
    if found is None:
        raise Conflict(f"The input of {id} was not uploaded yet; PUT it to the URL that came with its id.")
    return call(endpoint, id, found["ContentType"], found["Metadata"].get("accept", "application/json"), url)


def call(endpoint: Endpoint, id: str, content_type: str, accept: str, url: str) -> Inference:
    """Hand an input in S3 to SageMaker, and keep where it says that the answer will be."""
    answer = aws.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=endpoint.endpoint_name,
        InferenceId=id,
        InputLocation=f"s3://{bucket()}/{key(endpoint, id, 'input')}",
        ContentType=content_type,
        Accept=accept,
        RequestTTLSeconds=QUEUE_SECONDS,
        InvocationTimeoutSeconds=CALL_SECONDS,
    )
    said = {"output": answer["OutputLocation"], "failure": answer.get("FailureLocation"), "called_at": now()}
    aws.client("s3").put_object(Bucket=bucket(), Key=key(endpoint, id, "call.json"), Body=json.dumps(said).encode())
    return Inference(inference_id=id, status="pending", url=f"{url}/{id}")


def find(endpoint: Endpoint, id: str, url: str) -> Inference:
    """Return how far a call is, with its answer or the reason why there is none. Raises NotFound."""
    refuse_unless_async(endpoint)
    inference = Inference(inference_id=id, status="pending", url=f"{url}/{id}")
    said = called(endpoint, id)
    if said is None:
        if objects.find(bucket(), key(endpoint, id, "input")) is None:
            raise NotFound(f"The endpoint {endpoint.id} has no inference {id}, or its input was not uploaded yet.")
        return inference.model_copy(update={"status": "uploading"})
    output = key_of(said["output"])
    if exists(output):
        signed = aws.s3_presigner().generate_presigned_url(
            "get_object", Params={"Bucket": bucket(), "Key": output}, ExpiresIn=URL_SECONDS
        )
        return inference.model_copy(update={"status": "completed", "output_url": signed})
    failure = objects.find(bucket(), key_of(said["failure"])) if said["failure"] else None
    if failure:
        reason = invocation.message_of(failure["Body"].read(REASON_BYTES).decode(errors="replace"))
        return inference.model_copy(update={"status": "failed", "reason": reason})
    if datetime.now(UTC) - datetime.fromisoformat(said["called_at"]) > LONGEST:
        reason = "There is no answer in the longest time that SageMaker gives a call; send it again."
        return inference.model_copy(update={"status": "failed", "reason": reason})
    return inference


def refuse_unless_async(endpoint: Endpoint) -> None:
    """Raise BadRequest for an endpoint that answers at once."""
    if endpoint.kind != "async":
        raise BadRequest(f"The endpoint {endpoint.id} is of kind {endpoint.kind}; POST its invoke answers at once.")


def called(endpoint: Endpoint, id: str) -> dict[str, Any] | None:
    """Return what SageMaker said when it took a call, None when it has not."""
    found = objects.find(bucket(), key(endpoint, id, "call.json"))
    return json.load(found["Body"]) if found else None


def exists(key: str) -> bool:
    """Return whether there is an object of that key."""
    listed = aws.client("s3").list_objects_v2(Bucket=bucket(), Prefix=key, MaxKeys=1)
    return listed["KeyCount"] > 0


def bucket() -> str:
    return variable("JOBS_BUCKET")


def key(endpoint: Endpoint, id: str, name: str) -> str:
    """Return the key of what is kept of a call."""
    return f"{inferences_prefix(endpoint)}inferences/{id}/{name}"


def key_of(location: str) -> str:
    """Return the key in an s3:// address in the jobs' bucket."""
    return location.removeprefix(f"s3://{bucket()}/")
