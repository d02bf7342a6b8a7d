"""Every function: where its handler is, how large it is, which variables it reads.

With its grants it becomes a Lambda.
"""

from dataclasses import dataclass

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app import bundle
from cdk_app.constructs.acknowledge import acknowledge_wildcards
from cdk_app.constructs.function import Function
from cdk_app.settings import Settings
from stacks.grants import ANYWHERE, GRANTS, WILDCARDS


@dataclass(frozen=True)
class Spec:
    """A function before it is deployed; `memory` in MiB (and with it the share of a CPU), `timeout` in seconds."""

    handler: str
    variables: str
    memory: int = 512
    timeout: int = 60


API = {"memory": 1024, "timeout": 29}  # API Gateway waits 29 s
FUNCTIONS = {
    "accounts": Spec(
        "lambdas.accounts.handler.handler",
        "ACCOUNTS_TABLE DATASETS_TABLE MODELS_TABLE JOBS_TABLE ENDPOINTS_TABLE USER_POOL_ID USER_POOL_CLIENT_ID "
        "SIGN_UP SIGN_UP_DOMAINS",
        **API,
    ),
    "accounts_pre_sign_up": Spec(
        "lambdas.accounts.tasks.pre_sign_up", "ACCOUNTS_TABLE SIGN_UP SIGN_UP_DOMAINS AUTO_CONFIRM", timeout=5
    ),
    "datasets": Spec(
        "lambdas.datasets.handler.handler",
        "DATASETS_TABLE WAITS_TABLE DATASETS_BUCKET PROCESS_WORKFLOW_ARN MAX_DATASET_BYTES",
        **API,
    ),
    "datasets_process": Spec(
        "lambdas.datasets.tasks.process", "DATASETS_TABLE WAITS_TABLE DATASETS_BUCKET", memory=1024, timeout=900
    ),
    "datasets_recover": Spec(
        "lambdas.datasets.tasks.recover", "DATASETS_TABLE WAITS_TABLE DATASETS_BUCKET PROCESS_WORKFLOW_ARN", timeout=300
    ),
    "models": Spec(
        "lambdas.models.handler.handler",
        "MODELS_TABLE MODELS_INDEX_TABLE WAITS_TABLE MODELS_BUCKET SCAN_WORKFLOW_ARN ARCHIVE_WORKFLOW_ARN "
        "MAX_MODEL_BYTES",
        **API,
    ),
    "models_process": Spec(
        "lambdas.models.tasks.process",
        "MODELS_TABLE MODELS_INDEX_TABLE WAITS_TABLE MODELS_BUCKET",
        memory=1024,
        timeout=900,
    ),
    "models_scan": Spec("lambdas.scanner.tasks.scan", "", memory=2048, timeout=900),
    "models_archive": Spec("lambdas.models.tasks.archive", "MODELS_TABLE MODELS_BUCKET", memory=1024, timeout=900),
    "models_recover": Spec(
        "lambdas.models.tasks.recover",
        "MODELS_TABLE MODELS_INDEX_TABLE WAITS_TABLE MODELS_BUCKET SCAN_WORKFLOW_ARN",
        timeout=300,
    ),
    "models_rebuild": Spec(
        "lambdas.models.tasks.rebuild", "MODELS_TABLE MODELS_INDEX_TABLE WAITS_TABLE MODELS_BUCKET", timeout=900
    ),
    "jobs": Spec(
        "lambdas.jobs.handler.handler",
        "JOBS_TABLE WAITS_TABLE DATASETS_TABLE TRAIN_WORKFLOW_ARN JOBS_CONTROL_FUNCTION INSTANCE_TYPES",
        **API,
    ),
    "jobs_submit": Spec(
        "lambdas.jobs.tasks.submit",
        "STAGE JOBS_TABLE WAITS_TABLE DATASETS_BUCKET JOBS_BUCKET "
        "IMAGES QUEUES EXECUTION_ROLE_ARN VPC_CONFIG KMS_KEY_ARN",
    ),
    "jobs_register": Spec(
        "lambdas.jobs.tasks.register",
        "JOBS_TABLE WAITS_TABLE DATASETS_TABLE MODELS_TABLE MODELS_INDEX_TABLE MODELS_BUCKET",
        memory=1024,  # it reads the whole model once, for its SHA-256
        timeout=900,
    ),
    "jobs_control": Spec("lambdas.jobs.tasks.control", "JOBS_TABLE WAITS_TABLE JOBS_BUCKET", timeout=300),
    "jobs_watch": Spec(
        "lambdas.jobs.tasks.watch",
        "STAGE JOBS_TABLE WAITS_TABLE JOBS_BUCKET TRAIN_WORKFLOW_ARN JOBS_REGISTER_FUNCTION",
        timeout=300,
    ),
    "jobs_progress": Spec("lambdas.jobs.tasks.progress", "STAGE JOBS_TABLE"),
    "endpoints": Spec(
        "lambdas.endpoints.handler.handler",
        "STAGE ENDPOINTS_TABLE WAITS_TABLE MODELS_TABLE MODELS_BUCKET DEPLOY_WORKFLOW_ARN TEARDOWN_WORKFLOW_ARN "
        "INSTANCE_TYPES",
        **API,
    ),
    "endpoints_deploy": Spec(
        "lambdas.endpoints.tasks.deploy",
        "STAGE ENDPOINTS_TABLE WAITS_TABLE MODELS_TABLE IMAGES EXECUTION_ROLE_ARN VPC_CONFIG KMS_KEY_ARN",
    ),
    "endpoints_watch": Spec(
        "lambdas.endpoints.tasks.watch",
        "STAGE ENDPOINTS_TABLE WAITS_TABLE MODELS_TABLE DEPLOY_WORKFLOW_ARN TEARDOWN_WORKFLOW_ARN",
        timeout=300,
    ),
    "system": Spec("lambdas.system.handler.handler", "", **API),
}


def functions_bundle(settings: Settings) -> bundle.Bundle:
    """Return the code that all functions of a stage share; raises BundleError when it could not run there."""
    target = bundle.local_target() if settings.stage == "local" else bundle.aws_target()
    return bundle.build(target, [spec.handler for spec in FUNCTIONS.values()])


class Functions(dict[str, Function]):
    """The functions made so far, by key.

    `resources` (the names that the grants use -> ARNs) and `variables` are filled in as things are made.
    """

    def __init__(self, scope: Construct, settings: Settings, code: bundle.Bundle) -> None:
        super().__init__()
        self._scope = scope
        self._settings = settings
        self._code = lambda_.Code.from_asset(str(code.path), asset_hash=code.digest)
        self.resources: dict[str, list[str]] = {ANYWHERE: ["*"]}
        self.variables: dict[str, str] = {
            "STAGE": settings.stage,
            "SIGN_UP": settings.sign_up,
            "SIGN_UP_DOMAINS": ",".join(settings.sign_up_domains),
            "AUTO_CONFIRM": str(settings.auto_confirm).lower(),
            "MAX_DATASET_BYTES": str(settings.max_dataset_bytes),
            "MAX_MODEL_BYTES": str(settings.max_model_bytes),
            "KMS_KEY_ARN": settings.kms_key_arn or "",
        }

    def add(self, *keys: str) -> None:
        """Make functions; everything that their variables and grants name must be known by now."""
        for key in keys:
            spec = FUNCTIONS[key]
            given = [self._statement(actions, resource) for actions, resource in GRANTS[key]]
            names = {"POWERTOOLS_SERVICE_NAME": key}
            function = Function(
                self._scope,
                "".join(word.capitalize() for word in key.split("_")),
                settings=self._settings,
                code=self._code,
                handler=spec.handler,
                environment=names | {name: self.variables[name] for name in spec.variables.split()},
                statements=given + (self._decrypt() if given else []),
                memory=spec.memory,
                timeout=spec.timeout,
            )
            wildcards = {
                arn: WILDCARDS[name] for _, name in GRANTS[key] if name in WILDCARDS for arn in self.resources[name]
            }
            acknowledge_wildcards(function.own_role, wildcards)
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
