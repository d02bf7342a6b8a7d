"""Endpoints: what the API says of them, and the serving process behind each."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

from local.cloud import Cloud
from local.sagemaker import listing, processes, storage
from local.sagemaker.deployment import Alarms, Guardrails, baked, check_change, guardrails, hosting, serving_variant
from local.sagemaker.events import EventSender, endpoint_event
from local.sagemaker.fleet_metrics import FleetMetrics
from local.sagemaker.models import EndpointConfigs, Models
from local.sagemaker.protocol import invalid
from local.sagemaker.serving import Plan, Serving, ServingFailed
from local.sagemaker.store import Record, Store

logger = logging.getLogger(__name__)
STOPPED_WHILE_CREATING = "The platform stopped while the endpoint was being created."
STOPPED_WHILE_UPDATING = "The platform stopped while the endpoint was being updated; the update was rolled back."
REASON_LENGTH = 1024
UPDATE_MEMBERS = {"EndpointName", "EndpointConfigName", "RetainAllVariantProperties", "DeploymentConfig"}


class Endpoints:
    """Updates are blue/green: the old process stops when the new one answers and has baked; else the new one goes."""

    def __init__(
        self,
        cloud: Cloud,
        models: Models,
        configs: EndpointConfigs,
        events: EventSender,
        health_timeout: float,
        baking_speed: float,
    ) -> None:
        self._cloud, self._models, self._configs, self._events = cloud, models, configs, events
        self._health_timeout, self._baking_speed = health_timeout, baking_speed
        self.metrics = FleetMetrics()
        self._alarms = Alarms(cloud, self.metrics)
        self._store = Store(cloud.home / "state/endpoints")
        self._serving: dict[str, Serving] = {}
        self._standing_by: dict[str, Serving] = {}  # the old process of an endpoint while the new one bakes
        self._tasks: set[asyncio.Task[None]] = set()
        self.occupied: Callable[[str], bool] = lambda name: False  # whether inference components are on it

    def start(self) -> None:
        """Serves again what was in service; settles what a stopped platform left half done."""
        for record in self._store:
            for process in record.get("processes", []):
                processes.reap(**process)
            folder = self._folder(record)
            processes.kill_all_in(folder)
            description = record["description"]
            record["processes"] = []
            if description["EndpointStatus"] == "Creating":
                self._set(record, "Failed", STOPPED_WHILE_CREATING)
            elif description["EndpointStatus"] == "Deleting":
                self._begin(self._delete(record))
            elif description["EndpointStatus"] != "Failed":
                if description["EndpointStatus"] != "InService":  # an update that was not over: the old one stays
                    description.pop("PendingDeploymentSummary", None)
                    description["FailureReason"] = STOPPED_WHILE_UPDATING
                description["EndpointStatus"] = "InService"
                if not record.get("hosts"):
                    self._begin(self._serve_again(record))

    async def shutdown(self, grace: float) -> None:
        """Ends every process; endpoints in service are served again by the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        living = [*self._serving.values(), *self._standing_by.values()]
        await asyncio.gather(*(serving.halt(grace) for serving in living))

    def create(self, request: Record) -> Record:
        name, arn = request["EndpointName"], self._arn(request["EndpointName"])
        if "DeploymentConfig" in request:
            raise invalid("DeploymentConfig is not implemented by the local platform.")
        if name in self._store:
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        config = self._configs.find(request["EndpointConfigName"])["description"]
        hosts = "ModelName" not in config["ProductionVariants"][0]
        plan = None if hosts else self._plan(name, request["EndpointConfigName"])
        now = time.time()
        description = {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": request["EndpointConfigName"],
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        record = {"description": description, "tags": request.get("Tags", []), "generation": "", "processes": []}
        self._set(record, "Creating")
        self._begin(self._create(record, plan) if plan else self._host(record, config))
        return {"EndpointArn": arn}

    async def update(self, request: Record) -> Record:
        name, config = request["EndpointName"], request["EndpointConfigName"]
        self._settled(name)
        for member in request.keys() - UPDATE_MEMBERS:
            raise invalid(f"{member} is not implemented by the local platform.")
        guarded, plan = guardrails(request.get("DeploymentConfig")), self._plan(name, config)
        await self._alarms.check(guarded.alarms, plan.model["ExecutionRoleArn"])
        record = self._settled(name)  # it may have gone on while the alarms were looked at
        check_change(record.get("plan"), plan, "DeploymentConfig" in request)
        description = record["description"]
        description.pop("FailureReason", None)
        description["PendingDeploymentSummary"] = {
            "EndpointConfigName": config,
            "ProductionVariants": [{"VariantName": plan.variant["VariantName"]}],
            "StartTime": time.time(),
        }
        if "DeploymentConfig" in request:
            description["LastDeploymentConfig"] = request["DeploymentConfig"]
        self._set(record, "Updating")
        self._begin(self._update(record, plan, guarded))
        return {"EndpointArn": description["EndpointArn"]}

    def delete(self, request: Record) -> Record:
        record = self._settled(request["EndpointName"])
        if self.occupied(request["EndpointName"]):
            raise invalid(f"Delete the inference components of the endpoint {request['EndpointName']} first.")
        self._set(record, "Deleting")
        self._begin(self._delete(record))
        return {}

    def describe(self, request: Record) -> Record:
        return self._find(request["EndpointName"])["description"]

    def list(self, request: Record) -> Record:
        found, token = listing.page((r["description"] for r in self._store), request, "Endpoint", "Descending")
        return {"Endpoints": found, "NextToken": token}

    def serving(self, name: str) -> tuple[Serving | None, Record | None]:
        """The process that answers for an endpoint, and the endpoint's description; None for what there is not."""
        record = self._store.get(name)
        return self._serving.get(name), record["description"] if record else None

    def hosts(self, name: str) -> bool:
        """Whether an endpoint has inference components instead of a process."""
        return bool((self._store.get(name) or {}).get("hosts"))

    @property
    def store(self) -> Store:
        return self._store

    async def _host(self, record: Record, config: Record) -> None:
        """Puts an endpoint that inference components will be on into service: it has no process of its own."""
        record["hosts"] = True
        record["description"]["ProductionVariants"] = [hosting(config["ProductionVariants"][0])]
        self._set(record, "InService")

    async def _create(self, record: Record, plan: Plan) -> None:
        try:
            serving = await self._launch(record, plan)
        except ServingFailed as error:
            return self._set(record, "Failed", str(error))
        self._serving[plan.endpoint] = serving
        self._in_service(record, serving)

    async def _update(self, record: Record, plan: Plan, guarded: Guardrails) -> None:
        name, role = plan.endpoint, plan.model["ExecutionRoleArn"]
        try:
            new = await self._launch(record, plan)
        except ServingFailed as error:
            return self._keep_old(record, str(error))
        old, self._serving[name] = self._serving.get(name), new
        if old:
            self._standing_by[name] = old

        def lives() -> bool:
            return self._serving.get(name) is new

        reason = await baked(guarded, self._alarms, role, self._baking_speed, lives) if old else None
        if old and reason:
            self._serving[name] = self._standing_by.pop(name)
            self._set(record, "RollingBack")
            await new.stop()
            return self._keep_old(record, f"The update was rolled back. {reason}")
        record["description"]["EndpointConfigName"] = plan.config
        self._in_service(record, new)
        if old:
            await old.stop()
            del self._standing_by[name]

    def _keep_old(self, record: Record, reason: str) -> None:
        """Settles an update that failed: the old process serves on, unless it has ended itself."""
        name = record["description"]["EndpointName"]
        old = self._serving.get(name)
        record["processes"] = [old.process] if old else []
        record["description"].pop("PendingDeploymentSummary", None)
        self._set(record, "InService" if old and old.ready else "Failed", reason)

    async def _delete(self, record: Record) -> None:
        name = record["description"]["EndpointName"]
        if serving := self._serving.pop(name, None):
            await serving.stop()
        self.metrics.forget(name)
        storage.remove(self._folder(record))
        self._store.delete(name)
        self._announce(record, "Deleted")

    async def _serve_again(self, record: Record) -> None:
        """Brings back the process in service; an update or a deletion that came meanwhile goes first."""
        description = record["description"]
        name, plan = description["EndpointName"], self._plan_of(record)
        try:
            serving = await self._launch(record, plan, record["generation"])
        except ServingFailed as error:
            if description["EndpointStatus"] == "InService":
                self._set(record, "Failed", str(error))
            return
        if description["EndpointStatus"] == "Deleting" or name in self._serving:
            return await serving.stop()
        self._serving[name] = serving
        if description["EndpointStatus"] == "InService":
            self._in_service(record, serving)

    async def _launch(self, record: Record, plan: Plan, generation: str | None = None) -> Serving:
        """A ready process for `plan`. Raises ServingFailed."""
        generation = generation or secrets.token_hex(4)
        folder = self._folder(record) / generation
        serving = Serving(self._cloud, plan, folder, lambda crashed, reason: self._crashed(record, crashed, reason))

        def started() -> None:
            record["processes"].append(serving.process)
            self._save(record)

        try:
            await serving.start(started)
        except ServingFailed:
            storage.remove(folder)
            raise
        except Exception as error:  # our own fault; the endpoint must still come to rest
            logger.exception("endpoint %s", plan.endpoint)
            storage.remove(folder)
            raise ServingFailed(f"InternalError: {type(error).__name__}: {error}") from error
        return serving

    def _crashed(self, record: Record, crashed: Serving, reason: str) -> None:
        """Restarts a process once in its life; a second crash fails the endpoint."""
        name = record["description"]["EndpointName"]
        if self._serving.get(name) is not crashed:
            return
        logger.warning("endpoint %s: %s", name, reason)
        del self._serving[name]
        if record["description"]["EndpointStatus"] != "InService":
            return  # the update or deletion under way settles what follows
        if record.get("restarted") == record["generation"]:
            return self._set(record, "Failed", reason)
        record["restarted"], record["processes"] = record["generation"], []
        self._begin(self._serve_again(record))

    def _plan(self, name: str, config: str) -> Plan:
        described = self._configs.find(config)["description"]
        variant = described["ProductionVariants"][0]
        if "ModelName" not in variant:
            raise invalid("Updating an endpoint to inference components is not implemented by the local platform.")
        model = self._models.find(variant["ModelName"])["description"]
        timeout = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", self._health_timeout)
        return Plan(name, config, model, variant, timeout, described.get("AsyncInferenceConfig"))

    def _plan_of(self, record: Record) -> Plan:
        """The plan in service; model and configuration may have been deleted since, as AWS allows."""
        timeout = record["plan"]["variant"].get("ContainerStartupHealthCheckTimeoutInSeconds", self._health_timeout)
        description = record["description"]
        names = description["EndpointName"], description["EndpointConfigName"]
        return Plan(*names, **record["plan"], health_timeout=timeout)

    def _in_service(self, record: Record, serving: Serving) -> None:
        plan = serving.plan
        record["generation"] = serving.folder.name
        record["plan"] = {"model": plan.model, "variant": plan.variant, "asynchronous": plan.asynchronous}
        record["processes"] = [serving.process]
        record["description"].pop("PendingDeploymentSummary", None)
        record["description"] |= {
            "ProductionVariants": [serving_variant(plan)],
            "AsyncInferenceConfig": plan.asynchronous,
        }
        self._set(record, "InService")

    def _set(self, record: Record, status: str, reason: str = "") -> None:
        """Moves an endpoint to a status: stored first, then announced."""
        record["description"] |= {"EndpointStatus": status, "LastModifiedTime": time.time()}
        if reason:
            record["description"]["FailureReason"] = reason[:REASON_LENGTH]
        self._save(record)
        self._announce(record, status)

    def _announce(self, record: Record, status: str) -> None:
        self._events.send(endpoint_event({**record["description"], "EndpointStatus": status}, record["tags"]))

    def _save(self, record: Record) -> None:
        self._store.put(record["description"]["EndpointName"], record)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Any) -> None:
        try:
            await work
        except Exception:
            logger.exception("endpoint task")

    def _settled(self, name: str) -> Record:
        record = self._find(name)
        if record["description"]["EndpointStatus"] not in ("InService", "Failed"):
            raise invalid(f'Cannot update in-progress endpoint "{self._arn(name)}".')
        return record

    def _find(self, name: str) -> Record:
        record = self._store.get(name)
        if record is None:
            raise invalid(f'Could not find endpoint "{self._arn(name)}".')
        return record

    def _folder(self, record: Record) -> Any:
        return self._cloud.home / "endpoints" / record["description"]["EndpointName"]

    def _arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{self._cloud.region}:{self._cloud.account}:endpoint/{name}"
