"""MiniStack, made into our cloud. Only this module and the hooks' modules know MiniStack's private names.

It registers our SageMaker and Batch, lets the emulator's IAM judge their calls, keeps DynamoDB writes in a journal
and builds the Cloud our services work with. Import it only in the background process: MiniStack reads its settings
from the environment while it is imported.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import boto3
from botocore.config import Config
from ministack import app as ministack
from ministack.core import iam_actions, iam_evaluator, lambda_runtime, persistence, responses, router
from ministack.services import dynamodb, iam, lambda_svc, s3, sts
from ministack.services.cloudformation import provisioners

from local import (
    access,
    bearer_tokens,
    cloudwatch_hooks,
    emulator_hooks,
    gateway_hooks,
    log_hooks,
    object_hooks,
    resources,
    upload_hooks,
    vended_hooks,
)
from local.batch.service import Batch
from local.cloud import CALLER_HEADER, Cloud
from local.faults import CallFault, Faults
from local.handlers import Answer, Handler, failing, journalled, marking
from local.home import ACCOUNT, REGION, Home
from local.images import Images
from local.multipart import UploadsOnDisk
from local.openai_door import openai_door
from local.outputs import Deployment
from local.sagemaker.protocol import Stream
from local.sagemaker.scaling import SCALING_TARGET
from local.sagemaker.service import SageMaker
from local.state import JOURNAL_BYTES, Journal, Snapshots
from local.streams import send_stream

logger = logging.getLogger("slipway.emulator")

SCALING = "application-autoscaling"
GENERATION = "slipway_journal"  # the key, in the saved DynamoDB state, of the journal generation that follows it
PASSED_TO = {"iam:passedtoservice": "sagemaker.amazonaws.com"}


class Emulator:
    """The emulator with our services in it. One per process, as MiniStack's state is module-wide."""

    def __init__(self, home: Home, url: str, faults: Faults) -> None:
        emulator_hooks.check_names()
        self.home = home
        self.url = url
        self.faults = faults
        self.app = ministack.app
        self.journal = Journal(home.state, "dynamodb")
        self.uploads = UploadsOnDisk(home.state / "uploads")
        self.snapshots = Snapshots(home.state, state_sources, encode_state, self.state_saved)
        self.cloud = Cloud(
            home=home.sagemaker,
            region=REGION,
            account=ACCOUNT,
            client=self.client,
            emit=emulator_hooks.emit,
            role_allows=role_allows,
            image=Images(Deployment(home)).resolve,
            faults=faults,
        )
        self.sagemaker = SageMaker(self.cloud)
        self.batch = Batch(self.cloud, self.sagemaker)
        self.install()
        self.app = openai_door(self.app, self.sagemaker, bearer_tokens.check)

    def install(self) -> None:
        """Put our services, our checks and our journal where the emulator looks for its own."""
        router.SERVICE_PATTERNS["sagemaker"] = {"target_prefixes": ["SageMaker."]}
        iam_actions.SERVICE_TO_IAM_NAMESPACE["sagemaker"] = "sagemaker"
        iam_actions._BOTOCORE_SERVICE_MAP["sagemaker"] = ["sagemaker-runtime"]
        router.SERVICE_PATTERNS[SCALING] = {"target_prefixes": [SCALING_TARGET]}
        iam_actions.SERVICE_TO_IAM_NAMESPACE[SCALING] = SCALING
        iam_actions.extract_resource_arn = first_resource(iam_actions.extract_resource_arn)
        handlers: dict[str, Any] = ministack.SERVICE_HANDLERS
        handlers["sagemaker"] = authorised("sagemaker", self.sagemaker.handle)
        handlers[SCALING] = self.sagemaker.handle
        handlers["batch"] = authorised("batch", self.batch.handle)
        for service, handler in handlers.items():
            if service == "dynamodb":
                kept = journalled(handler, self.journal, request_scope)
            else:
                kept = marking(handler, functools.partial(changed_by, service), self.snapshots.mark)
            if service == "s3":
                kept = object_hooks.streaming(upload_hooks.keeping(kept, self.uploads))
            handlers[service] = failing(kept, self.faults, functools.partial(action_of, service), planted_failure)
        dynamodb.get_state = self.table_state(dynamodb.get_state)
        provisioners._RESOURCE_HANDLERS.update(resources.handlers(self.batch))
        object_hooks.keep_on_disk()
        upload_hooks.uploads_as_documented(self.uploads)
        emulator_hooks.install_lambda()
        emulator_hooks.install_workflows(role_allows, self.snapshots.mark)
        emulator_hooks.install_events()
        cloudwatch_hooks.install(self.snapshots.mark, vended_hooks.sample_queues)
        log_hooks.install(self.snapshots.mark)
        gateway_hooks.install()
        vended_hooks.install()

    def table_state(self, get_state: Callable[[], dict]) -> Callable[[], dict]:
        """DynamoDB's state with the journal generation that continues it; taking it starts that generation."""

        def table_state() -> dict:
            return {**get_state(), GENERATION: self.journal.rotate()}

        return table_state

    def state_saved(self, name: str, state: Any) -> None:
        """After a snapshot is on disk, the journal before it is not needed."""
        if name == "dynamodb":
            self.journal.drop_before(state[GENERATION])

    async def recover(self) -> None:
        """Bring back what the last snapshot lacks. Call it after MiniStack has loaded its files."""
        saved = persistence.load_state("dynamodb") or {}
        count = 0
        for record in self.journal.records(saved.get(GENERATION, 0)):
            await asyncio.create_task(replay(record))  # a task of its own keeps its account and region to itself
            count += 1
        if count:
            logger.info("Replayed %d DynamoDB writes that were made after the last snapshot.", count)
            self.snapshots.mark("dynamodb")
        for id, upload in self.uploads.load():
            s3._multipart_uploads[id] = upload
        for function in lambda_svc._functions._data.values():
            lambda_runtime.execution_credentials(function["config"])  # links its functions signed stay good
        emulator_hooks.announce_interrupted_executions()
        ministack.PERSIST_STATE = False  # from here on the snapshots are the ones who save

    async def start(self) -> None:
        """Start our services; the emulator answers by now."""
        await self.sagemaker.start()

    async def stop_services(self) -> None:
        """Stop what our services run, while the emulator still answers them."""
        await self.sagemaker.shutdown()
        await asyncio.to_thread(log_hooks.close)

    async def close(self) -> None:
        """Save everything and end the functions' workers. No request is in progress any more."""
        await self.snapshots.save_all()
        await asyncio.to_thread(lambda_runtime.reset)

    def each_tick(self) -> None:
        """Evaluate the alarms, and let a long journal become a snapshot."""
        cloudwatch_hooks.each_tick()
        log_hooks.each_tick()
        if self.journal.size() > JOURNAL_BYTES:
            self.snapshots.mark("dynamodb")

    def client(self, service: str, role_arn: str | None = None) -> Any:
        """A boto3 client against this emulator, as root or as a session of the role."""
        key = self.home.root_key()
        if role_arn is not None:
            key = access.role_key(role_arn, key["secret_access_key"])
            register_session(role_arn, key)
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key["access_key_id"],
            aws_secret_access_key=key["secret_access_key"],
            aws_session_token=key.get("session_token"),
            config=Config(signature_version="s3v4" if service == "s3" else None, retries={"max_attempts": 3}),
        )


def state_sources() -> dict[str, Callable[[], Any]]:
    """The loaded services by the name of their state file."""
    return ministack._build_persistence_save_dict()


def encode_state(name: str, state: Any) -> str:
    """The text MiniStack loads this service's state from."""
    wrapped = {"__ministack_format__": persistence._state_format_version(name), "payload": state}
    return json.dumps(wrapped, default=persistence._json_default)


async def replay(record: dict[str, str]) -> None:
    """Make one journalled DynamoDB write again."""
    responses.set_request_account_id(record["account"])
    responses.set_request_region(record["region"])
    headers = {"x-amz-target": record["target"]}
    status, _, answer = await dynamodb.handle_request("POST", "/", headers, record["body"].encode(), {})
    if status != 200:
        logger.error("A journalled write could not be made again: %s: %s", record["target"], answer)


def request_scope() -> dict[str, str]:
    """The account and region of the request at hand."""
    return {"account": responses.get_account_id(), "region": responses.get_region()}


def changed_by(service: str) -> Iterable[str]:
    """The state files that a changing request to the service concerns."""
    if service == "cloudformation":  # it changes any service, for as long as its caller keeps asking how far it is
        return state_sources()
    registered = ministack.SERVICE_REGISTRY.get(service, {})
    named = [registered.get("state_key", registered.get("module")), *registered.get("sub_modules", ())]
    return filter(None, named)


def action_of(service: str, method: str, path: str, headers: dict, body: bytes, query: dict) -> str:
    """The IAM action of a request, as in dynamodb:PutItem; ":" for a request that has none."""
    return iam_actions.extract_iam_action(service, method, path, headers, body, query) or ":"


def planted_failure(action: str, fault: CallFault, headers: dict) -> Answer:
    """The answer of a call that a planted fault hits, in the service's own wire format."""
    service = next((s for s, n in iam_actions.SERVICE_TO_IAM_NAMESPACE.items() if n == action.split(":")[0]), "")
    _, answer_headers, answer = iam_actions.access_denied_response(
        service, action, "", str(uuid.uuid4()), error_code=fault.error, message=fault.message, headers=headers
    )
    return fault.status, answer_headers, answer


def first_resource(inner: Callable[..., str]) -> Callable[..., str]:
    """MiniStack's request-to-ARN function, knowing SageMaker and Batch too, and log groups as AWS does."""

    def resource(service, method, path, headers, body, query, region, account) -> str:
        if service == SCALING:
            return f"arn:aws:{SCALING}:{region}:{account}:scalable-target/*"  # AWS makes its id
        if service in ("sagemaker", "batch"):
            operation = action_of(service, method, path, headers, body, query).split(":")[1]
            return access.resources(service, operation, path, body, region, account)[0]
        if service == "monitoring" and (names := access.json_object(body).get("AlarmNames")):
            return f"arn:aws:cloudwatch:{region}:{account}:alarm:{names[0]}"
        if service == "ecr" and (names := access.json_object(body).get("repositoryNames")):
            return f"arn:aws:ecr:{region}:{account}:repository/{names[0]}"  # as the CDK asks for its own
        arn = inner(service, method, path, headers, body, query, region, account)
        return access.log_group_resource(arn, headers) if service == "logs" else arn

    return resource


def authorised(service: str, handler: Handler) -> Handler:
    """Our service's handler behind what MiniStack's own check leaves out: further resources, and passed roles."""

    async def authorised(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        caller = role_of(iam_evaluator.caller_arn())
        action = action_of(service, method, path, headers, body, query)
        operation = action.split(":")[1]
        needed = [(action, arn) for arn in access.resources(service, operation, path, body, REGION, ACCOUNT)[1:]]
        needed += [(action, arn) for arn in access.called_component(path, headers, REGION, ACCOUNT)]
        needed += access.tagged(service, operation, path, body, REGION, ACCOUNT)
        needed += [("iam:PassRole", arn) for arn in access.passed_roles(service, operation, body)]
        for wanted, arn in needed:
            if not role_allows(caller, wanted, arn):
                return iam_actions.access_denied_response(service, wanted, caller, "", resource_arn=arn)
        status, answer_headers, answer = await handler(method, path, {**headers, CALLER_HEADER: caller}, body, query)
        if isinstance(answer, Stream):
            answer = responses.StreamingResponse(functools.partial(send_stream, answer.pieces))
        return status, answer_headers, answer

    return authorised


def role_of(principal_arn: str) -> str:
    """The role ARN behind an assumed-role session; any other principal's ARN as it is."""
    if ":assumed-role/" not in principal_arn:
        return principal_arn
    name = principal_arn.split(":assumed-role/")[1].split("/")[0]
    role = iam._roles.get_scoped(ACCOUNT, None, name)
    return role["Arn"] if role else principal_arn


def role_allows(role_arn: str, action: str, resource_arn: str) -> bool:
    """Whether the role's policies, within its boundary, allow the action; root may do everything."""
    if role_arn.endswith(":root"):
        return True
    name = role_arn.rsplit("/", 1)[-1]
    context = iam_evaluator.EvalContext(
        principal_arn=role_arn,
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=action,
        resource_arn=resource_arn,
        region=REGION,
        secure_transport=True,
        service_context=PASSED_TO if action == "iam:PassRole" else {},
    )
    limits = iam_evaluator._permissions_boundary(iam._roles, name, ACCOUNT)
    policies = iam_evaluator._gather_role_policies(name, ACCOUNT)
    return iam_evaluator.evaluate(context, policies, *limits).decision == "Allow"


def register_session(role_arn: str, key: dict[str, str]) -> None:
    """Tell the emulator that this key is a session of the role."""
    name = role_arn.rsplit("/", 1)[-1]
    sts.register_session(
        key["access_key_id"],
        {
            "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/sagemaker",
            "UserId": f"{name}:sagemaker",
            "SecretAccessKey": key["secret_access_key"],
            "SessionToken": key["session_token"],
        },
    )
