"""Service environments, scheduling policies and job queues: records, by name, with the rules between them."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

from local.batch import limits
from local.batch.limits import refused
from local.cloud import Cloud
from local.sagemaker.store import Record, Store

PAGE = 100


class Resources:
    """`changed` is called after anything that may let a waiting job start."""

    def __init__(self, cloud: Cloud, changed: Callable[[], None]) -> None:
        self._prefix = f"arn:aws:batch:{cloud.region}:{cloud.account}"
        self._changed = changed
        self.environments = Store(cloud.home / "state/service-environments")
        self.policies = Store(cloud.home / "state/scheduling-policies")
        self.queues = Store(cloud.home / "state/job-queues")

    def create_service_environment(self, request: Record) -> Record:
        limits.check_environment(request)
        record = {"state": "ENABLED", **request, "status": "VALID"}
        arn = self._create(self.environments, "service-environment", "serviceEnvironment", record)
        return {"serviceEnvironmentName": record["serviceEnvironmentName"], "serviceEnvironmentArn": arn}

    def update_service_environment(self, request: Record) -> Record:
        record = find(self.environments, request.pop("serviceEnvironment"), "service environment")
        changed = {**record, **request}
        limits.check_environment(changed)
        self._save(self.environments, changed["serviceEnvironmentName"], changed)
        return changed

    def delete_service_environment(self, request: Record) -> Record:
        record = find(self.environments, request["serviceEnvironment"], "service environment")
        if self.queues_of(record):
            raise refused(f"Cannot delete, found existing JobQueue relationship: {record['serviceEnvironmentName']}")
        self.environments.delete(record["serviceEnvironmentName"])
        return {}

    def describe_service_environments(self, request: Record) -> Record:
        return described(self.environments, request, "serviceEnvironments", "serviceEnvironment")

    def create_scheduling_policy(self, request: Record) -> Record:
        limits.check_policy(request)
        limits.check_name(request["name"], "name")
        if request["name"] in self.policies:
            raise refused(f"Object already exists: {request['name']}")
        record = {**request, "arn": f"{self._prefix}:scheduling-policy/{request['name']}"}
        self._save(self.policies, record["name"], record)
        return record

    def update_scheduling_policy(self, request: Record) -> Record:
        record = find(self.policies, request.pop("arn"), "scheduling policy")
        changed = {**record, **request}
        limits.check_policy(changed)
        self._save(self.policies, changed["name"], changed)
        return {}

    def delete_scheduling_policy(self, request: Record) -> Record:
        record = find(self.policies, request["arn"], "scheduling policy")
        if any(queue.get("schedulingPolicyArn") == record["arn"] for queue in self.queues):
            raise refused(f"Scheduling policy {record['name']} is used by a job queue.")
        self.policies.delete(record["name"])
        return {}

    def describe_scheduling_policies(self, request: Record) -> Record:
        return {"schedulingPolicies": [p for p in self.policies if p["arn"] in request["arns"]]}

    def list_scheduling_policies(self, request: Record) -> Record:
        found, token = page([{"arn": policy["arn"]} for policy in self.policies], request)
        return {"schedulingPolicies": found, "nextToken": token}

    def create_job_queue(self, request: Record) -> Record:
        record = {"state": "ENABLED", "computeEnvironmentOrder": [], **request, "status": "VALID"}
        self._check_queue(record)
        arn = self._create(self.queues, "job-queue", "jobQueue", record)
        return {"jobQueueName": record["jobQueueName"], "jobQueueArn": arn}

    def update_job_queue(self, request: Record) -> Record:
        record = find(self.queues, request.pop("jobQueue"), "job queue")
        if bool(request.get("schedulingPolicyArn")) and "schedulingPolicyArn" not in record:
            raise refused("A scheduling policy cannot be added to a job queue that was created without one.")
        changed = {**record, **request}
        self._check_queue(changed)
        self._save(self.queues, changed["jobQueueName"], changed)
        return changed

    def delete_job_queue(self, request: Record, busy: Callable[[Record], bool]) -> Record:
        record = find(self.queues, request["jobQueue"], "job queue")
        if record["state"] != "DISABLED":
            raise refused(f"Cannot delete, resource {record['jobQueueName']} is in ENABLED state.")
        if busy(record):
            raise refused(f"Cannot delete, job queue {record['jobQueueName']} still has jobs.")
        self.queues.delete(record["jobQueueName"])
        return {}

    def describe_job_queues(self, request: Record) -> Record:
        return described(self.queues, request, "jobQueues", "jobQueue")

    def queue(self, name_or_arn: str) -> Record:
        return find(self.queues, name_or_arn, "job queue")

    def fair_share(self, queue: Record) -> Record | None:
        """The queue's fair-share policy, or None for first in, first out."""
        arn = queue.get("schedulingPolicyArn")
        return find(self.policies, arn, "scheduling policy")["fairsharePolicy"] if arn else None

    def queues_of(self, environment: Record) -> list[Record]:
        """The queues on a service environment, the most urgent first."""
        names = (environment["serviceEnvironmentName"], environment["serviceEnvironmentArn"])
        found = [q for q in self.queues if q["serviceEnvironmentOrder"][0]["serviceEnvironment"] in names]
        return sorted(found, key=lambda queue: -queue["priority"])

    def tagged(self, arn: str) -> tuple[Store, str, Record] | None:
        for store, member in (
            (self.environments, "serviceEnvironment"), (self.queues, "jobQueue"), (self.policies, ""),
        ):  # fmt: skip
            for record in store:
                if record[f"{member}Arn" if member else "arn"] == arn:
                    return store, record[f"{member}Name" if member else "name"], record
        return None

    def _check_queue(self, record: Record) -> None:
        limits.check_queue(record)
        find(self.environments, record["serviceEnvironmentOrder"][0]["serviceEnvironment"], "service environment")
        self.fair_share(record)

    def _create(self, store: Store, kind: str, member: str, record: Record) -> str:
        name = record[f"{member}Name"]
        limits.check_name(name, f"{member}Name")
        if name in store:
            raise refused(f"Object already exists: {name}")
        record[f"{member}Arn"] = f"{self._prefix}:{kind}/{name}"
        self._save(store, name, record)
        return record[f"{member}Arn"]

    def _save(self, store: Store, name: str, record: Record) -> None:
        store.put(name, record)
        self._changed()


def find(store: Store, name_or_arn: str, what: str) -> Record:
    record = store.get(name_or_arn.rpartition("/")[2])
    if record is None:
        raise refused(f"The {what} {name_or_arn} does not exist.")
    return record


def described(store: Store, request: Record, member: str, kind: str) -> Record:
    wanted = request.get(member)
    chosen: Iterator[Record] | list[Record] = iter(store)
    if wanted is not None:
        chosen = [r for r in store if r[f"{kind}Name"] in wanted or r[f"{kind}Arn"] in wanted]
    found, token = page(list(chosen), request)
    return {member: found, "nextToken": token}


def page(records: list[Any], request: Record) -> tuple[list[Any], str | None]:
    start = int(request.get("nextToken") or 0)
    end = start + min(request.get("maxResults") or PAGE, PAGE)
    return records[start:end], str(end) if end < len(records) else None


def new_id() -> str:
    return str(uuid.uuid4())
