"""Inference components: models that share an endpoint, one serving process for each, none while it has no copy."""

import asyncio
import logging
import secrets
import time
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.sagemaker import listing, processes, storage
from local.sagemaker.component_plans import ComponentPlans
from local.sagemaker.deployment import Alarms, Guardrails, baked, rolling
from local.sagemaker.endpoints import REASON_LENGTH, Endpoints
from local.sagemaker.models import EndpointConfigs, Models
from local.sagemaker.protocol import ServiceError, invalid
from local.sagemaker.serving import Serving, ServingFailed
from local.sagemaker.store import Record, Store

logger = logging.getLogger(__name__)
STOPPED = "The platform stopped while the inference component was being created."
NO_COPY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
IN_PROGRESS = {"Creating": "CREATE_IN_PROGRESS", "Updating": "UPDATE_IN_PROGRESS", "Deleting": "DELETE_IN_PROGRESS"}


class Components:
    """A component in service has a process, unless it has no copy; an update's new one takes over once it has baked."""

    def __init__(
        self,
        cloud: Cloud,
        models: Models,
        configs: EndpointConfigs,
        endpoints: Endpoints,
        health_timeout: float,
        baking_speed: float,
    ) -> None:
        self._cloud, self._endpoints, self._baking_speed = cloud, endpoints, baking_speed
        self._plans = ComponentPlans(cloud, models, configs, endpoints, health_timeout)
        self._alarms = Alarms(cloud, endpoints.metrics)
        self._store = Store(cloud.home / "state/inference-components")
        self._serving: dict[str, Serving] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        endpoints.occupied = self._occupied

    def start(self) -> None:
        """Serves again what was in service; settles what a stopped platform left half done."""
        for record in self._store:
            for process in record["processes"]:
                processes.reap(**process)
            processes.kill_all_in(self._folder(record))
            record["processes"] = []
            status = record["description"]["InferenceComponentStatus"]
            if status == "Creating":
                self._set(record, "Failed", STOPPED)
            elif status == "Deleting":
                self._begin(self._delete(record))
            elif status != "Failed":
                self._begin(self._come_to(record, copies(record)))

    async def shutdown(self, grace: float) -> None:
        """Ends every process; components in service are served again by the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(serving.halt(grace) for serving in self._serving.values()))

    def create(self, request: Record) -> Record:
        name, host = request["InferenceComponentName"], self._plans.host(request["EndpointName"])
        arn = self._arn(name)
        if name in self._store:
            raise invalid(f'Cannot create already existing inference component "{arn}".')
        count = request.get("RuntimeConfig", {}).get("CopyCount", 0)
        if count < 1:
            raise invalid("Inference components copy count must be an integer larger than 0.")
        self._plans.check(request.get("Specification"))
        now = time.time()
        description = {
            "InferenceComponentName": name,
            "InferenceComponentArn": arn,
            "EndpointName": host["EndpointName"],
            "EndpointArn": host["EndpointArn"],
            "VariantName": request.get("VariantName", host["ProductionVariants"][0]["VariantName"]),
            "Specification": request["Specification"],
            "RuntimeConfig": {"DesiredCopyCount": count, "CurrentCopyCount": 0},
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        record = {"description": description, "tags": request.get("Tags", []), "generation": "", "processes": []}
        self._set(record, "Creating")
        self._begin(self._create(record, count))
        return {"InferenceComponentArn": arn}

    async def update(self, request: Record) -> Record:
        record = self._settled(request["InferenceComponentName"], "update")
        if "Specification" not in request:
            return self.update_copies({**request, "DesiredRuntimeConfig": request["RuntimeConfig"]})
        guarded = rolling(request.get("DeploymentConfig"))
        self._plans.check(request["Specification"])
        await self._alarms.check(guarded.alarms, self._plans.role(record))
        record = self._settled(request["InferenceComponentName"], "update")
        record["description"].pop("FailureReason", None)
        if "DeploymentConfig" in request:
            record["description"]["LastDeploymentConfig"] = request["DeploymentConfig"]
        self._set(record, "Updating")
        self._begin(self._update(record, request["Specification"], guarded))
        return {"InferenceComponentArn": record["description"]["InferenceComponentArn"]}

    def update_copies(self, request: Record) -> Record:
        record = self._settled(request["InferenceComponentName"], "update")
        self.scale(record["description"]["InferenceComponentName"], request["DesiredRuntimeConfig"]["CopyCount"])
        return {"InferenceComponentArn": record["description"]["InferenceComponentArn"]}

    def scale(self, name: str, count: int) -> None:
        """Brings a component in service to so many copies."""
        record = self._find(name)
        if record["description"]["InferenceComponentStatus"] == "InService" and copies(record) != count:
            record["description"]["RuntimeConfig"]["DesiredCopyCount"] = count
            self._set(record, "Updating")
            self._begin(self._come_to(record, count))

    def delete(self, request: Record) -> Record:
        record = self._settled(request["InferenceComponentName"], "delete")
        self._set(record, "Deleting")
        self._begin(self._delete(record))
        return {}

    def describe(self, request: Record) -> Record:
        return self._find(request["InferenceComponentName"])["description"]

    def list(self, request: Record) -> Record:
        wanted = {"EndpointName": request.get("EndpointNameEquals"), "VariantName": request.get("VariantNameEquals")}
        found = (r["description"] for r in self._store)
        chosen = (r for r in found if all(value in (None, r[name]) for name, value in wanted.items()))
        page, token = listing.page(chosen, request, "InferenceComponent", "Descending")
        return {"InferenceComponents": page, "NextToken": token}

    def serving(self, endpoint: str, name: str) -> tuple[Serving | None, int]:
        """The process that answers for a component, if any, and how many copies it has. Raises ServiceError."""
        record = self._store.get(name)
        if record is None or record["description"]["EndpointName"] != endpoint:
            raise ServiceError("ValidationError", f"Inference Component {name} not found on endpoint {endpoint}.")
        return self._serving.get(name), record["description"]["RuntimeConfig"]["CurrentCopyCount"]

    def idle_since(self, name: str) -> float | None:
        """When a component in service answered last, by the monotonic clock; None while it has no copy."""
        record, serving = self._store.get(name), self._serving.get(name)
        if record is None or serving is None or record["description"]["InferenceComponentStatus"] != "InService":
            return None
        return time.monotonic() if serving.busy else serving.last_used

    @property
    def store(self) -> Store:
        return self._store

    async def _create(self, record: Record, count: int) -> None:
        try:
            self._serving[name_of(record)] = await self._launch(record, record["description"]["Specification"])
        except ServingFailed as error:
            return self._set(record, "Failed", str(error))
        self._in_service(record, count)

    async def _update(self, record: Record, specification: Record, guarded: Guardrails) -> None:
        name = name_of(record)
        if not copies(record):
            record["description"]["Specification"] = specification
            return self._in_service(record, 0)
        try:
            new = await self._launch(record, specification)
        except ServingFailed as error:
            return self._set(record, "InService" if self._serving.get(name) else "Failed", str(error))
        old, self._serving[name] = self._serving.get(name), new
        reason = await baked(
            guarded, self._alarms, self._plans.role(record), self._baking_speed, lambda: self._serving.get(name) is new
        )
        if reason and old:
            self._serving[name] = old
            await new.stop()
            record["processes"] = [old.process]
            return self._set(record, "InService", f"The update was rolled back. {reason}")
        record["description"]["Specification"] = specification
        self._in_service(record, copies(record))
        if old:
            await old.stop()

    async def _come_to(self, record: Record, count: int) -> None:
        """A process when there are copies and none when there are not."""
        name = name_of(record)
        serving = self._serving.get(name)
        if count == 0 and serving:
            record["generation"], record["processes"] = "", []
            del self._serving[name]
            self._in_service(record, 0)
            return await serving.stop()
        if count and not serving:
            try:
                self._serving[name] = await self._launch(record, record["description"]["Specification"])
            except ServingFailed as error:
                return self._set(record, "Failed", str(error))
        self._in_service(record, count)

    async def _delete(self, record: Record) -> None:
        name = name_of(record)
        if serving := self._serving.pop(name, None):
            await serving.stop()
        self._endpoints.metrics.forget(f"component/{name}")
        storage.remove(self._folder(record))
        self._store.delete(name)

    async def _launch(self, record: Record, specification: Record) -> Serving:
        """A ready process for a specification. Raises ServingFailed."""
        plan = self._plans.of(record, specification)
        folder = self._folder(record) / secrets.token_hex(4)
        serving = Serving(self._cloud, plan, folder, lambda crashed, reason: self._crashed(record, crashed, reason))

        def started() -> None:
            record["processes"].append(serving.process)
            self._save(record)

        try:
            await serving.start(started)
        except ServingFailed:
            storage.remove(folder)
            raise
        except Exception as error:  # our own fault; the component must still come to rest
            logger.exception("inference component %s", plan.component)
            storage.remove(folder)
            raise ServingFailed(f"InternalError: {type(error).__name__}: {error}") from error
        return serving

    def _crashed(self, record: Record, crashed: Serving, reason: str) -> None:
        """Restarts a process once in its life; a second crash fails the component."""
        name = name_of(record)
        if self._serving.get(name) is not crashed:
            return
        logger.warning("inference component %s: %s", name, reason)
        del self._serving[name]
        if record["description"]["InferenceComponentStatus"] != "InService":
            return  # the update or deletion under way settles what follows
        if record.get("restarted"):
            return self._set(record, "Failed", reason)
        record["restarted"], record["processes"] = True, []
        self._begin(self._come_to(record, copies(record)))

    def _in_service(self, record: Record, count: int) -> None:
        serving = self._serving.get(name_of(record))
        record["processes"] = [serving.process] if serving else []
        record["description"]["RuntimeConfig"] = {"DesiredCopyCount": count, "CurrentCopyCount": count}
        self._set(record, "InService")

    def _set(self, record: Record, status: str, reason: str = "") -> None:
        record["description"] |= {"InferenceComponentStatus": status, "LastModifiedTime": time.time()}
        if reason:
            record["description"]["FailureReason"] = reason[:REASON_LENGTH]
        self._save(record)

    def _save(self, record: Record) -> None:
        self._store.put(name_of(record), record)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Any) -> None:
        try:
            await work
        except Exception:
            logger.exception("inference component task")

    def _settled(self, name: str, what: str) -> Record:
        record = self._find(name)
        if state := IN_PROGRESS.get(record["description"]["InferenceComponentStatus"]):
            raise invalid(f'Cannot {what} inference component "{self._arn(name)}" while it is in state {state}.')
        return record

    def _find(self, name: str) -> Record:
        record = self._store.get(name)
        if record is None:
            raise invalid(f'Could not find inference component "{self._arn(name)}".')
        return record

    def _occupied(self, endpoint: str) -> bool:
        return any(record["description"]["EndpointName"] == endpoint for record in self._store)

    def _folder(self, record: Record) -> Path:
        return self._cloud.home / "components" / name_of(record)

    def _arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{self._cloud.region}:{self._cloud.account}:inference-component/{name}"


def name_of(record: Record) -> str:
    return record["description"]["InferenceComponentName"]


def copies(record: Record) -> int:
    return record["description"]["RuntimeConfig"]["DesiredCopyCount"]
