"""Endpoints: what the API says of them, and the serving process behind each."""

import asyncio
import logging
import secrets
import time
from typing import Any

from local.cloud import Cloud
from local.sagemaker import listing, processes, storage
from local.sagemaker.events import EventSender, endpoint_event
from local.sagemaker.models import EndpointConfigs, Models
from local.sagemaker.protocol import invalid
from local.sagemaker.serving import Plan, Serving, ServingFailed
from local.sagemaker.store import Record, Store

logger = logging.getLogger(__name__)
STOPPED_WHILE_CREATING = "The platform stopped while the endpoint was being created."
REASON_LENGTH = 1024


class Endpoints:
    """Updates are blue/green: the new process answers before the old one stops, else the old one stays."""

    def __init__(
        self, cloud: Cloud, models: Models, configs: EndpointConfigs, events: EventSender, health_timeout: float
    ) -> None:
        self._cloud, self._models, self._configs, self._events = cloud, models, configs, events
        self._health_timeout = health_timeout
        self._store = Store(cloud.home / "state/endpoints")
        self._serving: dict[str, Serving] = {}
        self._tasks: set[asyncio.Task[None]] = set()

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
                description["EndpointStatus"] = "InService"
                self._begin(self._serve_again(record))

    async def shutdown(self, grace: float) -> None:
        """Ends every process; endpoints in service are served again by the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(serving.halt(grace) for serving in self._serving.values()))

    def create(self, request: Record) -> Record:
        name, arn = request["EndpointName"], self._arn(request["EndpointName"])
        if "DeploymentConfig" in request:
            raise invalid("DeploymentConfig is not implemented by the local platform.")
        if name in self._store:
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        plan = self._plan(name, request["EndpointConfigName"])
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
        self._begin(self._create(record, plan))
        return {"EndpointArn": arn}

    def update(self, request: Record) -> Record:
        record = self._settled(request["EndpointName"])
        for member in request.keys() - {"EndpointName", "EndpointConfigName", "RetainAllVariantProperties"}:
            raise invalid(f"{member} is not implemented by the local platform.")
        plan = self._plan(request["EndpointName"], request["EndpointConfigName"])
        record["description"].pop("FailureReason", None)
        self._set(record, "Updating")
        self._begin(self._update(record, plan, request["EndpointConfigName"]))
        return {"EndpointArn": record["description"]["EndpointArn"]}

    def delete(self, request: Record) -> Record:
        record = self._settled(request["EndpointName"])
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

    @property
    def store(self) -> Store:
        return self._store

    async def _create(self, record: Record, plan: Plan) -> None:
        name = plan.endpoint
        try:
            self._serving[name] = await self._launch(record, plan)
        except ServingFailed as error:
            return self._set(record, "Failed", str(error))
        self._in_service(record, plan)

    async def _update(self, record: Record, plan: Plan, config: str) -> None:
        try:
            new = await self._launch(record, plan)
        except ServingFailed as error:
            old = self._serving.get(plan.endpoint)
            record["processes"] = [old.process] if old else []
            return self._set(record, "InService" if old else "Failed", str(error))
        old, self._serving[plan.endpoint] = self._serving.get(plan.endpoint), new
        record["processes"] = [new.process]
        record["description"]["EndpointConfigName"] = config
        self._in_service(record, plan)
        if old:
            await old.stop()

    async def _delete(self, record: Record) -> None:
        name = record["description"]["EndpointName"]
        if serving := self._serving.pop(name, None):
            await serving.stop()
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
            self._in_service(record, plan)

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
        record["generation"], record["plan"] = generation, {"model": plan.model, "variant": plan.variant}
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

    def _plan(self, name: str, config_name: str) -> Plan:
        variant = self._configs.find(config_name)["description"]["ProductionVariants"][0]
        model = self._models.find(variant["ModelName"])["description"]
        timeout = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", self._health_timeout)
        return Plan(name, model, variant, timeout)

    def _plan_of(self, record: Record) -> Plan:
        """The plan in service; model and configuration may have been deleted since, as AWS allows."""
        timeout = record["plan"]["variant"].get("ContainerStartupHealthCheckTimeoutInSeconds", self._health_timeout)
        return Plan(record["description"]["EndpointName"], **record["plan"], health_timeout=timeout)

    def _in_service(self, record: Record, plan: Plan) -> None:
        image, now = plan.model["PrimaryContainer"]["Image"], time.time()
        variant: dict[str, Any] = {
            "VariantName": plan.variant["VariantName"],
            "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": now}],
            "CurrentWeight": plan.variant.get("InitialVariantWeight", 1.0),
            "DesiredWeight": plan.variant.get("InitialVariantWeight", 1.0),
        }
        if "ServerlessConfig" in plan.variant:
            variant["CurrentServerlessConfig"] = plan.variant["ServerlessConfig"]
        else:
            count = plan.variant.get("InitialInstanceCount", 1)
            variant |= {"CurrentInstanceCount": count, "DesiredInstanceCount": count}
        record["description"]["ProductionVariants"] = [variant]
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
