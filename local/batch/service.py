"""Our local AWS Batch: one request handler over queues and service jobs, and the methods CloudFormation calls."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from local.batch.jobs import ServiceJobs
from local.batch.limits import REQUEST_BYTES, refused
from local.batch.resources import Resources, page
from local.cloud import Cloud
from local.sagemaker.events import EventSender, milliseconds
from local.sagemaker.protocol import (
    Response,
    ServiceError,
    error_response,
    json_response,
    not_implemented,
    problems,
    project,
    service_model,
)  # fmt: skip
from local.sagemaker.service import SageMaker
from local.sagemaker.store import Record

logger = logging.getLogger(__name__)
JSON = "application/json"
FRONT = 100  # jobs that a snapshot shows
TOP_SHARES = 20


class Batch:
    """Lives on SageMaker's event loop, which starts and closes it."""

    def __init__(self, cloud: Cloud, sagemaker: SageMaker) -> None:
        self._model = service_model("batch")
        self._events = EventSender(cloud)
        self._resources = Resources(cloud, self._resources_changed)
        self._jobs = ServiceJobs(cloud, sagemaker, self._resources, self._events)
        self._loop: asyncio.AbstractEventLoop | None = None
        sagemaker.attach(self)
        resources, jobs = self._resources, self._jobs
        self._operations: dict[str, Callable[[Record], Any]] = {
            "CreateServiceEnvironment": resources.create_service_environment,
            "UpdateServiceEnvironment": resources.update_service_environment,
            "DeleteServiceEnvironment": resources.delete_service_environment,
            "DescribeServiceEnvironments": resources.describe_service_environments,
            "CreateSchedulingPolicy": resources.create_scheduling_policy,
            "UpdateSchedulingPolicy": resources.update_scheduling_policy,
            "DeleteSchedulingPolicy": resources.delete_scheduling_policy,
            "DescribeSchedulingPolicies": resources.describe_scheduling_policies,
            "ListSchedulingPolicies": resources.list_scheduling_policies,
            "CreateJobQueue": resources.create_job_queue,
            "UpdateJobQueue": resources.update_job_queue,
            "DeleteJobQueue": lambda request: resources.delete_job_queue(request, jobs.busy),
            "DescribeJobQueues": resources.describe_job_queues,
            "GetJobQueueSnapshot": self._snapshot,
            "SubmitServiceJob": jobs.submit,
            "DescribeServiceJob": jobs.describe,
            "ListServiceJobs": self._list_jobs,
            "UpdateServiceJob": jobs.update,
            "TerminateServiceJob": jobs.terminate,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    async def start(self) -> None:
        """Catches up with what SageMaker found at its start, and schedules."""
        self._loop = asyncio.get_running_loop()
        self._jobs.start()

    async def shutdown(self) -> None:
        """Changes nothing any more: how the training jobs end is seen by the next start."""
        self._jobs.close()
        await self._events.close()

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answers one HTTP request of the Batch API."""
        try:
            operation, request = self._parse(method, path, body, query)
            return json_response(await self.call(operation, request), content_type=JSON)
        except ServiceError as error:
            return error_response(error, JSON)
        except Exception as error:
            logger.exception("%s %s", method, path)
            return error_response(ServiceError("ServerException", repr(error), 500), JSON)

    async def call(self, operation: str, request: Record) -> Record:
        """One API operation, validated like any client's. Raises ServiceError."""
        self._loop = asyncio.get_running_loop()
        result = self._perform(operation, request)
        return project(self._model.operation_model(operation).output_shape, await _settled(result)) or {}

    # CloudFormation's resource handlers call these, with property names in its own case; they raise ServiceError.

    def create_service_environment(self, properties: Record) -> str:
        return self._provision("CreateServiceEnvironment", properties)["serviceEnvironmentArn"]

    def update_service_environment(self, arn: str, properties: Record) -> None:
        self._provision("UpdateServiceEnvironment", {**properties, "serviceEnvironment": arn})

    def delete_service_environment(self, arn: str) -> None:
        self._provision("DeleteServiceEnvironment", {"serviceEnvironment": arn})

    def create_scheduling_policy(self, properties: Record) -> str:
        return self._provision("CreateSchedulingPolicy", properties)["arn"]

    def update_scheduling_policy(self, arn: str, properties: Record) -> None:
        self._provision("UpdateSchedulingPolicy", {**properties, "arn": arn})

    def delete_scheduling_policy(self, arn: str) -> None:
        self._provision("DeleteSchedulingPolicy", {"arn": arn})

    def create_job_queue(self, properties: Record) -> str:
        return self._provision("CreateJobQueue", properties)["jobQueueArn"]

    def update_job_queue(self, arn: str, properties: Record) -> None:
        self._provision("UpdateJobQueue", {**properties, "jobQueue": arn})

    def delete_job_queue(self, arn: str) -> None:
        """Disables the queue first, as CloudFormation does."""
        self._provision("UpdateJobQueue", {"jobQueue": arn, "state": "DISABLED"})
        self._provision("DeleteJobQueue", {"jobQueue": arn})

    def _provision(self, operation: str, properties: Record) -> Record:
        return self._perform(operation, to_request(self._model.operation_model(operation).input_shape, properties))

    def _perform(self, operation: str, request: Record) -> Any:
        if operation not in self._operations:
            raise not_implemented(f"Batch's operation {operation}")
        if found := problems(self._model.operation_model(operation).input_shape, request):
            raise refused(" ".join(found))
        return self._operations[operation](request)

    def _parse(self, method: str, path: str, body: bytes, query: dict[str, Any]) -> tuple[str, Record]:
        """(operation, request) of an HTTP request. Raises ServiceError."""
        if len(body) > REQUEST_BYTES:
            raise refused(f"The request must be at most {REQUEST_BYTES} bytes.")
        try:
            request = json.loads(body or b"{}")
        except ValueError as error:
            raise refused("The request body is not JSON.") from error
        if path.startswith("/v1/tags/"):
            operation = {"GET": "ListTagsForResource", "POST": "TagResource", "DELETE": "UntagResource"}[method]
            request["resourceArn"] = unquote(path.removeprefix("/v1/tags/"))
            if "tagKeys" in query:
                keys = query["tagKeys"]
                request["tagKeys"] = keys if isinstance(keys, list) else [keys]
            return operation, request
        for operation in self._model.operation_names:
            if self._model.operation_model(operation).http["requestUri"] == path:
                return operation, request
        raise not_implemented(f"{method} {path}")

    def _snapshot(self, request: Record) -> Record:
        queue = self._resources.queue(request["jobQueue"])
        now = milliseconds(time.time())
        front = self._jobs.waiting(queue)[:FRONT]
        used = self._jobs.capacity_by_share(queue)
        utilization: Record = {"totalCapacityUsage": capacity(sum(used.values())), "lastUpdatedAt": now}
        if self._resources.fair_share(queue) is not None:
            top = sorted(used.items(), key=lambda entry: -entry[1])[:TOP_SHARES]
            utilization["fairshareUtilization"] = {
                "activeShareCount": len(used),
                "topCapacityUtilization": [
                    {"shareIdentifier": share, "capacityUsage": capacity(quantity)} for share, quantity in top
                ],
            }
        jobs = [{"jobArn": job["jobArn"], "earliestTimeAtPosition": since} for job, since in front]
        return {"frontOfQueue": {"jobs": jobs, "lastUpdatedAt": now}, "queueUtilization": utilization}

    def _list_jobs(self, request: Record) -> Record:
        found, token = page(self._jobs.select(request), request)
        return {"jobSummaryList": found, "nextToken": token}

    def _tag(self, request: Record) -> Record:
        store, name, record = self._tagged(request["resourceArn"])
        self._target(record)["tags"] = {**self._target(record).get("tags", {}), **request["tags"]}
        store.put(name, record)
        return {}

    def _untag(self, request: Record) -> Record:
        store, name, record = self._tagged(request["resourceArn"])
        for key in request["tagKeys"]:
            self._target(record).get("tags", {}).pop(key, None)
        store.put(name, record)
        return {}

    def _list_tags(self, request: Record) -> Record:
        return {"tags": self._target(self._tagged(request["resourceArn"])[2]).get("tags", {})}

    def _tagged(self, arn: str) -> Any:
        found = self._resources.tagged(arn) or self._jobs.tagged(arn)
        if found is None:
            raise refused(f"The resource {arn} does not exist.")
        return found

    def _target(self, record: Record) -> Record:
        return record.get("description", record)

    def _resources_changed(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._jobs.schedule)


def capacity(quantity: float) -> list[Record]:
    return [{"capacityUnit": "NUM_INSTANCES", "quantity": float(quantity)}]


def to_request(shape: Any, properties: Any) -> Any:
    """CloudFormation's properties as the API's request: member names in lower camel case, numbers as numbers.

    Members that only CloudFormation has (names on an update, for instance) are left out.
    """
    if shape.type_name == "structure":
        named = {name[0].lower() + name[1:]: value for name, value in properties.items()}
        return {name: to_request(member, named[name]) for name, member in shape.members.items() if name in named}
    if shape.type_name == "list":
        return [to_request(shape.member, item) for item in properties]
    if shape.type_name in ("integer", "long"):
        return int(properties)
    if shape.type_name in ("float", "double"):
        return float(properties)
    return properties


async def _settled(result: Any) -> Any:
    return await result if asyncio.iscoroutine(result) else result
