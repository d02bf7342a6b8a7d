"""InvokeEndpointAsync: requests that wait in a queue; input, answer and failure are objects in S3.

The queue is on disk: what a stopped platform had not answered is answered by the next one.
"""

import asyncio
import http.client
import logging
import time
import uuid
from collections import defaultdict
from typing import Any

from local.cloud import Cloud
from local.sagemaker.concurrency import in_thread
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.protocol import Response, ServiceError, json_response, problems, service_model
from local.sagemaker.serving import Reply, Serving
from local.sagemaker.storage import S3_ERRORS, StorageError, parse_uri
from local.sagemaker.store import Record, Store

logger = logging.getLogger(__name__)
TIMEOUT, TTL = 900, 21_600  # seconds: AWS's defaults of InvocationTimeoutSeconds and RequestTTLSeconds
CONCURRENT = 4  # calls of one endpoint at once where its configuration does not say; AWS finds a number itself
INPUT_LIMIT = 1024**3  # bytes
LOOK_INTERVAL = 0.05  # seconds between two looks for a container that is started again
HEADERS = {"ContentType": "content-type", "Accept": "accept", "CustomAttributes": "x-amzn-sagemaker-custom-attributes"}


class AsyncInference:
    """Takes requests for asynchronous endpoints, and works on them in the order they came."""

    def __init__(self, cloud: Cloud, endpoints: Endpoints) -> None:
        self._cloud, self._endpoints = cloud, endpoints
        self._store = Store(cloud.home / "state/async-invocations")
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._tasks: dict[str, set[asyncio.Task[None]]] = defaultdict(set)

    def start(self) -> None:
        """Goes on with what an earlier platform had taken."""
        for record in sorted(self._store, key=lambda record: record["taken_at"]):
            self._begin(record)

    async def shutdown(self) -> None:
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def take(self, name: str, endpoint: Record, headers: dict[str, str], body: bytes) -> Response:
        """Answers `POST /endpoints/{name}/async-invocations`. Raises ServiceError."""
        shape = service_model("sagemaker-runtime").operation_model("InvokeEndpointAsync").input_shape
        request = parsed(shape, name, headers, body)
        if found := problems(shape, request):
            raise ServiceError("ValidationError", " ".join(found))
        if ("Body" in request) == ("InputLocation" in request):
            raise ServiceError("ValidationError", "Provide exactly one of Body and InputLocation.")
        config = endpoint.get("AsyncInferenceConfig")
        if config is None:
            raise ServiceError("ValidationError", f"Endpoint {name} is not an asynchronous endpoint.")
        record = self._record(request, config["OutputConfig"])
        if "Body" in request:
            (self._bodies / record["id"]).write_bytes(body)
        self._store.put(record["id"], record)
        self._begin(record)
        located = {"X-Amzn-SageMaker-OutputLocation": record["output"]}
        if record["failure"]:
            located["X-Amzn-SageMaker-FailureLocation"] = record["failure"]
        status, given, content = json_response({"InferenceId": record["inference"]}, 202, "application/json")
        return status, given | located, content

    @property
    def _bodies(self) -> Any:
        folder = self._cloud.home / "async-bodies"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _record(self, request: Record, output: Record) -> Record:
        id, now = str(uuid.uuid4()), time.time()
        inference = request.get("InferenceId", id)
        extension = request.get("S3OutputPathExtension", "").strip("/")
        folder = "/".join(filter(None, [output["S3OutputPath"].rstrip("/"), extension]))
        failures = output.get("S3FailurePath")
        return {
            "id": id,
            "inference": inference,
            "endpoint": request["EndpointName"],
            "input": request.get("InputLocation"),
            "headers": {header: request[member] for member, header in HEADERS.items() if member in request},
            "output": f"{folder}/{request.get('Filename', f'{id}.out')}",
            "failure": f"{failures.rstrip('/')}/{id}-error.out" if failures else None,
            "taken_at": now,
            "expires_at": now + request.get("RequestTTLSeconds", TTL),
            "timeout": request.get("InvocationTimeoutSeconds", TIMEOUT),
        }

    def _begin(self, record: Record) -> None:
        tasks = self._tasks[record["endpoint"]]
        task = asyncio.create_task(self._run(record))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _run(self, record: Record) -> None:
        """One request, from the queue to its object in S3; a request whose endpoint is gone goes with it."""
        try:
            async with self._turn(record["endpoint"]):
                serving = await self._serving(record)
                if serving is not None:
                    await self._answer(record, serving)
        except Exception:
            logger.exception("asynchronous invocation %s of %s", record["id"], record["endpoint"])
        self._store.delete(record["id"])
        (self._bodies / record["id"]).unlink(missing_ok=True)

    def _turn(self, name: str) -> asyncio.Semaphore:
        if name not in self._turns:
            _, endpoint = self._endpoints.serving(name)
            client = ((endpoint or {}).get("AsyncInferenceConfig") or {}).get("ClientConfig", {})
            self._turns[name] = asyncio.Semaphore(client.get("MaxConcurrentInvocationsPerInstance", CONCURRENT))
        return self._turns[name]

    async def _serving(self, record: Record) -> Serving | None:
        """The process that is to answer, once there is one; None when the endpoint is gone or the request too old."""
        while True:
            serving, endpoint = self._endpoints.serving(record["endpoint"])
            if endpoint is None or endpoint["EndpointStatus"] in ("Deleting", "Failed"):
                return None
            if time.time() > record["expires_at"]:
                logger.warning("asynchronous invocation %s expired in the queue", record["id"])
                return None
            if serving is not None and serving.ready:
                return serving
            await asyncio.sleep(LOOK_INTERVAL)

    async def _answer(self, record: Record, serving: Serving) -> None:
        s3 = self._cloud.client("s3", role_arn=serving.plan.model["ExecutionRoleArn"])
        status = 0
        try:
            body = await in_thread(self._input, s3, record)
            reply = await serving.invoke(body, record["headers"], record["timeout"])
            status = reply[0]
        except S3_ERRORS as error:
            reply = failed(f"The input {record['input']} could not be read: {error}")
        except StorageError as error:
            reply = failed(str(error))
        except TimeoutError:
            reply = failed(f"The container did not answer within {record['timeout']} seconds.")
        except (OSError, http.client.HTTPException) as error:
            reply = failed(f"The container closed the connection: {error!r}")
        plan = serving.plan
        self._endpoints.metrics.note(record["endpoint"], plan.variant["VariantName"], plan.config, status)
        await in_thread(self._store_reply, s3, record, reply)

    def _input(self, s3: Any, record: Record) -> bytes:
        if record["input"] is None:
            return (self._bodies / record["id"]).read_bytes()
        bucket, key = parse_uri(record["input"])
        answer = s3.get_object(Bucket=bucket, Key=key)
        if answer["ContentLength"] > INPUT_LIMIT:
            raise StorageError(f"The input {record['input']} is larger than {INPUT_LIMIT} bytes.")
        return answer["Body"].read()

    def _store_reply(self, s3: Any, record: Record, reply: Reply) -> None:
        status, headers, content = reply
        location = record["output"] if 200 <= status < 300 else record["failure"]
        if location is None:  # as on AWS, a failure without a place of its own is in the log only
            return logger.warning("asynchronous invocation %s failed: %s", record["id"], content[:1000])
        bucket, key = parse_uri(location)
        given = headers.get("content-type", "application/octet-stream")
        s3.put_object(Bucket=bucket, Key=key, Body=content, ContentType=given)


def failed(message: str) -> Reply:
    """What stands for a container's answer where there is none."""
    return 0, {"content-type": "text/plain"}, message.encode()


def parsed(shape: Any, name: str, headers: dict[str, str], body: bytes) -> Record:
    """The request as its service model names it, from headers in lower case."""
    request: Record = {"EndpointName": name} | ({"Body": body} if body else {})
    for member, found in shape.members.items():
        value = headers.get(found.serialization.get("name", "").lower())
        if found.serialization.get("location") == "header" and value is not None:
            whole = found.type_name == "integer" and value.isdecimal()
            request[member] = int(value) if whole else value
    return request
