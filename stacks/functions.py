"""Every function: where its handler is, how large it is, which variables it reads.

With its grants it becomes a Lambda.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app.bundle import Bundle, aws_target, build, local_target
from cdk_app.bundle_contents import CONTENTS
from cdk_app.constructs.acknowledge import acknowledge_wildcards
from cdk_app.constructs.function import Function
from cdk_app.settings import Settings
from stacks.grants import GRANTS
from stacks.shared_grants import ANYWHERE
from stacks.wildcards import WILDCARDS


@dataclass(frozen=True)
class Spec:
    """A function before it is deployed.

    `memory` and `disk` (its /tmp) in MiB, and with the memory comes its share of a CPU; `timeout` in seconds; `bundle`
    names its code in cdk_app/bundle_contents.py. Nobody waits for the answer of an `asynchronous` one: what it fails at
    is kept in the queue of what was not delivered.
    """

    handler: str
    variables: str
    memory: int = 512
    timeout: int = 60
    disk: int = 512
    bundle: str = "functions"
    asynchronous: bool = False


def api(handler: str, variables: str) -> Spec:
    """Return a function that answers requests, for which API Gateway waits 29 s."""
    return Spec(handler, variables, memory=1024, timeout=29)


FUNCTIONS = {
    "accounts": api(
        "lambdas.accounts.handler.handler",
        "ACCOUNTS_TABLE DATASETS_TABLE MODELS_TABLE JOBS_TABLE ENDPOINTS_TABLE USER_POOL_ID USER_POOL_CLIENT_ID "
        "SIGN_UP SIGN_UP_DOMAINS",
    ),
    "accounts_pre_sign_up": Spec(
        "lambdas.accounts.tasks.pre_sign_up", "ACCOUNTS_TABLE SIGN_UP SIGN_UP_DOMAINS AUTO_CONFIRM", timeout=5
    ),
    "datasets": api(
        "lambdas.datasets.handler.handler",
        "DATASETS_TABLE WAITS_TABLE DATASETS_BUCKET PROCESS_WORKFLOW_ARN "
        "MAX_DATASET_BYTES STORAGE_QUOTA_BYTES IMPORT_BUCKETS",
    ),
    "datasets_process": Spec(
        "lambdas.datasets.tasks.process",
        "DATASETS_TABLE WAITS_TABLE DATASETS_BUCKET PROCESSING_FUNCTION_BYTES",
        timeout=300,
    ),
    "datasets_import": Spec("lambdas.datasets.tasks.copy", "DATASETS_TABLE DATASETS_BUCKET", memory=1024, timeout=900),
    "datasets_profile": Spec(
        "lambdas.processing.tasks.profile",
        "",
        memory=2048,
        timeout=900,
        disk=10_240,  # for what a workbook or a JSON file becomes when it is converted
        bundle="processing",
    ),
    "datasets_submit": Spec(
        "lambdas.datasets.tasks.submit",
        "STAGE DATASETS_TABLE WAITS_TABLE DATASETS_BUCKET PROCESSING_IMAGE PROCESSING_ROLE_ARN "
        "PROCESSING_INSTANCE_TYPE VPC_CONFIG KMS_KEY_ARN",
    ),
    "datasets_recover": Spec(
        "lambdas.datasets.tasks.recover",
        "STAGE DATASETS_TABLE WAITS_TABLE DATASETS_BUCKET PROCESS_WORKFLOW_ARN",
        timeout=300,
        asynchronous=True,
    ),
    "models": api(
        "lambdas.models.handler.handler",
        "MODELS_TABLE MODELS_INDEX_TABLE WAITS_TABLE MODELS_BUCKET SCAN_WORKFLOW_ARN ARCHIVE_WORKFLOW_ARN "
        "IMPORT_WORKFLOW_ARN MAX_MODEL_BYTES HF_ENDPOINT",
    ),
    "models_process": Spec(
        "lambdas.models.tasks.process",
        "MODELS_TABLE MODELS_INDEX_TABLE WAITS_TABLE MODELS_BUCKET",
        memory=1024,
        timeout=900,
    ),
    "models_scan": Spec("lambdas.scanner.tasks.scan", "", memory=2048, timeout=900),
    "models_import": Spec(
        "lambdas.models.tasks.import_files",
        "MODELS_TABLE WAITS_TABLE MODELS_BUCKET SCAN_WORKFLOW_ARN HF_ENDPOINT",
        memory=2048,  # with which comes the network's speed, for files of up to 50 GiB
        timeout=900,
    ),
    "models_archive": Spec("lambdas.models.tasks.archive", "MODELS_TABLE MODELS_BUCKET", memory=1024, timeout=900),
    "models_recover": Spec(
        "lambdas.models.tasks.recover",
        "STAGE MODELS_TABLE MODELS_INDEX_TABLE WAITS_TABLE MODELS_BUCKET SCAN_WORKFLOW_ARN IMPORT_WORKFLOW_ARN",
        timeout=300,
        asynchronous=True,
    ),
    "models_rebuild": Spec(
        "lambdas.models.tasks.rebuild", "MODELS_TABLE MODELS_INDEX_TABLE WAITS_TABLE MODELS_BUCKET", timeout=900
    ),
    "jobs": api(
        "lambdas.jobs.handler.handler",
        "JOBS_TABLE JOBS_BUCKET WAITS_TABLE DATASETS_TABLE DATASETS_BUCKET MODELS_TABLE MODELS_BUCKET ENDPOINTS_TABLE "
        "TRAIN_WORKFLOW_ARN JOBS_CONTROL_FUNCTION QUEUES INSTANCE_TYPES MEMBER_INSTANCE_TYPES MAX_JOBS_PER_USER "
        "MAX_INSTANCE_HOURS_PER_USER",
    ),
    "jobs_submit": Spec(
        "lambdas.jobs.tasks.submit",
        "STAGE JOBS_TABLE WAITS_TABLE JOBS_BUCKET IMAGES QUEUES EXECUTION_ROLE_ARN VPC_CONFIG KMS_KEY_ARN",
    ),
    "jobs_register": Spec(
        "lambdas.jobs.tasks.register",
        "STAGE JOBS_TABLE WAITS_TABLE JOBS_BUCKET DATASETS_TABLE MODELS_TABLE MODELS_INDEX_TABLE MODELS_BUCKET",
        memory=1024,  # it reads the whole model once, for its SHA-256
        timeout=900,
        asynchronous=True,
    ),
    "jobs_schedule": Spec(
        "lambdas.jobs.tasks.schedule",
        "JOBS_TABLE WAITS_TABLE DATASETS_TABLE DATASETS_BUCKET MODELS_TABLE MODELS_BUCKET ENDPOINTS_TABLE "
        "TRAIN_WORKFLOW_ARN MAX_JOBS_PER_USER MAX_INSTANCE_HOURS_PER_USER",
        asynchronous=True,
    ),
    "jobs_control": Spec(
        "lambdas.jobs.tasks.control",
        "JOBS_TABLE WAITS_TABLE JOBS_BUCKET",
        memory=1024,  # it compresses a log as fast as its share of a CPU lets it
        timeout=900,
        asynchronous=True,
    ),
    "jobs_watch": Spec(
        "lambdas.jobs.tasks.watch",
        "STAGE JOBS_TABLE WAITS_TABLE JOBS_BUCKET TRAIN_WORKFLOW_ARN JOBS_REGISTER_FUNCTION JOBS_SCHEDULE_FUNCTION "
        "STALLED_AFTER_MINUTES",
        timeout=300,
        asynchronous=True,
    ),
    "jobs_progress": Spec("lambdas.jobs.tasks.progress", "STAGE JOBS_TABLE", asynchronous=True),
    "endpoints": api(
        "lambdas.endpoints.handler.handler",
        "STAGE ENDPOINTS_TABLE WAITS_TABLE MODELS_TABLE MODELS_BUCKET JOBS_BUCKET DEPLOY_WORKFLOW_ARN "
        "UPDATE_WORKFLOW_ARN TEARDOWN_WORKFLOW_ARN INSTANCE_TYPES MEMBER_INSTANCE_TYPES TOKEN_ROLE_ARN LLM_SERVER "
        "SLEEP_WORKFLOW_ARN ENDPOINT_LEASE_HOURS ENDPOINT_IDLE_MINUTES",
    ),
    "endpoints_deploy": Spec(
        "lambdas.endpoints.tasks.deploy",
        "STAGE ENDPOINTS_TABLE WAITS_TABLE MODELS_TABLE JOBS_BUCKET IMAGES EXECUTION_ROLE_ARN VPC_CONFIG KMS_KEY_ARN "
        "LOG_RETENTION_DAYS LLM_IMAGE",
    ),
    "register": api(
        "lambdas.endpoints.registration_handler.handler",
        "ENDPOINTS_TABLE WAITS_TABLE JOBS_TABLE MODELS_TABLE MODELS_INDEX_TABLE MODELS_BUCKET MAX_MODEL_BYTES "
        "REGISTER_WORKFLOW_ARN INSTANCE_TYPES MEMBER_INSTANCE_TYPES LLM_SERVER ENDPOINT_LEASE_HOURS",
    ),
    "endpoints_register": Spec(
        "lambdas.endpoints.registration_tasks.register",
        "STAGE ENDPOINTS_TABLE WAITS_TABLE JOBS_TABLE MODELS_TABLE MODELS_BUCKET DEPLOY_WORKFLOW_ARN LLM_SERVER "
        "ENDPOINT_LEASE_HOURS",
    ),
    "endpoints_follow": Spec(
        "lambdas.endpoints.chain.follow",
        "STAGE ENDPOINTS_TABLE WAITS_TABLE JOBS_TABLE MODELS_TABLE MODELS_BUCKET DEPLOY_WORKFLOW_ARN "
        "ENDPOINT_LEASE_HOURS",
    ),
    "endpoints_watch": Spec(
        "lambdas.endpoints.tasks.watch",
        "STAGE ENDPOINTS_TABLE WAITS_TABLE JOBS_TABLE MODELS_TABLE MODELS_BUCKET JOBS_BUCKET DEPLOY_WORKFLOW_ARN "
        "UPDATE_WORKFLOW_ARN TEARDOWN_WORKFLOW_ARN LOG_RETENTION_DAYS SLEEP_WORKFLOW_ARN ENDPOINT_LEASE_HOURS "
        "ENDPOINT_IDLE_MINUTES REGISTER_WORKFLOW_ARN LLM_SERVER",
        timeout=300,
        asynchronous=True,
    ),
    "metrics": api(
        "lambdas.metrics.handler.handler",
        "METRICS_TABLE JOBS_TABLE ENDPOINTS_TABLE WAITS_TABLE QUEUES API_FUNCTIONS",
    ),
    "metrics_count": Spec("lambdas.metrics.tasks.count", "METRICS_TABLE", asynchronous=True),
    "stats": api(
        "lambdas.stats.handler.handler",
        "STAGE DATASETS_TABLE MODELS_TABLE MODELS_INDEX_TABLE JOBS_TABLE ENDPOINTS_TABLE WAITS_TABLE USER_POOL_ID "
        "QUEUES INSTANCE_TYPES STORAGE_QUOTA_BYTES",
    ),
    "text": api("lambdas.text.handler.handler", "COMPREHEND_REGION TEXT_MODEL_VERSION"),
    "system": api("lambdas.system.handler.handler", ""),
}


def handlers(bundle: str) -> list[str]:
    """Return the handlers of a bundle's functions."""
    return [spec.handler for spec in FUNCTIONS.values() if spec.bundle == bundle]


def bundles_of(settings: Settings) -> dict[str, Bundle]:
    """Return the code of a stage's functions by the bundles' names; raises BundleError when it could not run there."""
    target = local_target() if settings.stage == "local" else aws_target()
    return {name: build(target, contents, handlers(name)) for name, contents in CONTENTS.items()}


class Functions(dict[str, Function]):
    """The functions made so far, by key.

    `resources` (the names that the grants use -> ARNs) and `variables` are filled in as things are made.
    """

    def __init__(self, scope: Construct, settings: Settings, bundles: Mapping[str, Bundle]) -> None:
        super().__init__()
        self._scope = scope
        self._settings = settings
        self._code = {
            name: lambda_.Code.from_asset(str(bundle.path), asset_hash=bundle.digest)
            for name, bundle in bundles.items()
        }
        self.resources: dict[str, list[str]] = {
            ANYWHERE: ["*"],
            "import-buckets": [bucket_arn(scope, name) for name in settings.import_buckets],
            "import-buckets/*": [f"{bucket_arn(scope, name)}/*" for name in settings.import_buckets],
        }
        self.variables: dict[str, str] = {
            "STAGE": settings.stage,
            "SIGN_UP": settings.sign_up,
            "SIGN_UP_DOMAINS": ",".join(settings.sign_up_domains),
            "AUTO_CONFIRM": str(settings.auto_confirm).lower(),
            "MAX_DATASET_BYTES": str(settings.max_dataset_bytes),
            "MAX_MODEL_BYTES": str(settings.max_model_bytes),
            "STORAGE_QUOTA_BYTES": str(settings.storage_quota_bytes),
            "MEMBER_INSTANCE_TYPES": json.dumps(settings.member_instance_types),
            "MAX_JOBS_PER_USER": str(settings.max_jobs_per_user),
            "MAX_INSTANCE_HOURS_PER_USER": str(settings.max_instance_hours_per_user or ""),
            "IMPORT_BUCKETS": json.dumps(settings.import_buckets),
            "STALLED_AFTER_MINUTES": str(settings.stalled_after_minutes),
            "ENDPOINT_LEASE_HOURS": str(settings.endpoint_lease_hours or ""),
            "ENDPOINT_IDLE_MINUTES": str(settings.endpoint_idle_minutes or ""),
            "KMS_KEY_ARN": settings.kms_key_arn or "",
            "HF_ENDPOINT": settings.hugging_face_endpoint or "",
            "LOG_RETENTION_DAYS": str(settings.log_retention_days),
            "COMPREHEND_REGION": settings.comprehend_region or "",
            "TEXT_MODEL_VERSION": settings.text_model_version,
        }

    def add(self, *keys: str) -> None:
        """Make functions; everything that their variables and grants name must be known by now."""
        for key in keys:
            spec = FUNCTIONS[key]
            # A policy may not name no resource at all: what a stage does not have is granted to nobody.
            grants = [(actions, resource) for actions, resource in GRANTS[key] if self.resources[resource]]
            given = [self._statement(actions, resource) for actions, resource in grants]
            names = {"POWERTOOLS_SERVICE_NAME": key}
            function = Function(
                self._scope,
                "".join(word.capitalize() for word in key.split("_")),
                settings=self._settings,
                code=self._code[spec.bundle],
                handler=spec.handler,
                environment=names | {name: self.variables[name] for name in spec.variables.split()},
                statements=given + (self._decrypt() if given else []),
                memory=spec.memory,
                timeout=spec.timeout,
                disk=spec.disk,
            )
            wildcards = {
                arn: WILDCARDS[name] for _, name in grants if name in WILDCARDS for arn in self.resources[name]
            }
            acknowledge_wildcards(function.own_role, wildcards)
            if spec.asynchronous:
                function.keep_failures(self.resources["undelivered-queue"][0])
            self[key] = function
            self.resources[key] = [function.function_arn]

    def _statement(self, actions: str, resource: str) -> iam.PolicyStatement:
        service, _, names = actions.partition(": ")
        passing = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        return iam.PolicyStatement(
            actions=[f"{service}:{name}" for name in names.split()],
            resources=self.resources[resource],
            conditions=passing if actions == "iam: PassRole" else None,
        )

    def _decrypt(self) -> list[iam.PolicyStatement]:
        key = self._settings.kms_key_arn
        return [iam.PolicyStatement(actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key])] if key else []


def bucket_arn(scope: Construct, name: str) -> str:
    """Return the ARN of a bucket."""
    return f"arn:{cdk.Stack.of(scope).partition}:s3:::{name}"
