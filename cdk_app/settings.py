"""What the owner of a stage may choose: read from cdk.json's context "stages", checked before anything is built."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, ValidationError, model_validator

# No hyphen: rules match names by the prefix `slipway-<stage>-`, and `dev-` must not match a stage `dev-two`.
StageName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{1,11}$")]
InstanceType = Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]
BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s]+)$")]
Domain = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
RetentionDays = Literal[1, 3, 7, 14, 30, 90, 180, 365]


class SettingsError(Exception):
    """The settings cannot be used; the message names each wrong key."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Vpc(Model):
    """The network that training jobs run in."""

    vpc_id: Annotated[str, StringConstraints(pattern=r"^vpc-[0-9a-f]+$")]
    subnet_ids: Annotated[list[Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$")]], Field(min_length=1)]
    security_group_ids: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]+$")]], Field(min_length=1)
    ]


class ExistingUserPool(Model):
    """A Cognito user pool that is used instead of making one; its groups are `admin`, `member` and `viewer`."""

    user_pool_id: str
    client_id: str


class Settings(Model):
    """The settings of one stage."""

    stage: StageName
    retain_data: bool = True
    """Keep tables, buckets and users when their stack is deleted, and refuse to delete it."""
    training_instance_types: Annotated[dict[InstanceType, PositiveInt], Field(min_length=1)] = {"ml.m5.large": 2}
    """Instance types that jobs and endpoints may ask for, and how many of each may train at once."""
    member_instance_types: list[InstanceType] = []
    """Those of them that members may ask for; all when empty. Admins may ask for every one."""
    max_jobs_per_user: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Training jobs of one user that wait or run at once; held ones do not count."""
    max_instance_hours_per_user: Annotated[int, Field(ge=1)] | None = None
    """Instance-hours that one user's jobs may take in a calendar month; no limit when null."""
    stalled_after_minutes: Annotated[int, Field(ge=5, le=24 * 60)] = 30
    """How long a running job may print nothing before it is marked as stalled."""
    endpoint_lease_hours: Annotated[int, Field(ge=1, le=24 * 366)] | None = None
    """How long an endpoint serves before it is put to sleep, unless its lease is renewed; for ever when null."""
    endpoint_idle_minutes: Annotated[int, Field(ge=15, le=60 * 24 * 14)] | None = None
    """After how long without a call an endpoint is put to sleep; never when null."""
    password_minimum_length: Annotated[int, Field(ge=6, le=99)] = 8
    sign_up: Literal["open", "domains", "invite"] = "invite"
    sign_up_domains: list[Domain] = []
    """With `domains`: the e-mail domains whose people may register."""
    auto_confirm: bool = False
    """With `open`: confirm accounts without a code, for where no mail can be sent."""
    vpc: Vpc | None = None
    kms_key_arn: Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:kms:")] | None = None
    """The key for tables, buckets, logs and training volumes; AWS's own keys, which cost nothing, when null."""
    permissions_boundary_arn: Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::")] | None = None
    existing_user_pool: ExistingUserPool | None = None
    log_retention_days: RetentionDays = 30
    max_dataset_bytes: Annotated[int, Field(ge=2**20, le=5 * 2**40)] = 100 * 2**30
    """All files of a dataset version together."""
    storage_quota_bytes: Annotated[int, Field(ge=2**20)] = 500 * 2**30
    """What one user's datasets may hold, all their versions together."""
    processing_function_bytes: Annotated[int, Field(ge=0, le=8 * 2**30)] = 2**30
    """Datasets up to this size are read by a function, in its 15 minutes; larger ones by a SageMaker Processing job."""
    processing_instance_type: InstanceType = "ml.m5.xlarge"
    """What a SageMaker Processing job runs on."""
    import_buckets: list[BucketName] = []
    """Buckets of yours from which users may make datasets; every user may read every object in them."""
    max_model_bytes: Annotated[int, Field(ge=2**20, le=5 * 2**40)] = 2**39
    """All files of a model version together: what one function can have S3 put into a ZIP in its 15 minutes."""
    hugging_face_endpoint: Annotated[str, StringConstraints(pattern=r"^https://[^/\s]+$")] | None = (
        "https://huggingface.co"
    )
    """Where models are imported from: the Hub, or a mirror of yours; nowhere when null."""
    metrics_client: bool = False
    """A client of the user pool by which a program, such as Prometheus, reads GET /metrics; billed by AWS."""
    llm_server: Literal["vllm", "huggingface"] = "vllm"
    """What serves language models: AWS's image with vLLM, on GPUs, or this platform's own, which needs none."""
    cors_origins: Annotated[list[Origin], Field(min_length=1)] = ["*"]
    """Where browsers may call the API and upload from. Tokens travel in a header, so `*` gives nothing away."""

    @property
    def has_gpus(self) -> bool:
        """Whether any instance type has NVIDIA GPUs: SageMaker's families g and p do."""
        return any(re.match(r"ml\.[gp]\d", instance_type) for instance_type in self.training_instance_types)

    @model_validator(mode="after")
    def settings_fit(self) -> Self:
        if unknown := set(self.member_instance_types) - set(self.training_instance_types):
            raise ValueError(
                f"member_instance_types are not among training_instance_types: {', '.join(sorted(unknown))}"
            )
        if (self.sign_up == "domains") != bool(self.sign_up_domains):
            raise ValueError("sign_up_domains belongs to sign_up `domains`: give both or neither")
        if self.auto_confirm and self.sign_up != "open":
            raise ValueError("auto_confirm belongs to sign_up `open`: elsewhere the e-mailed code proves the address")
        if self.existing_user_pool and self.sign_up != "invite":
            raise ValueError("existing_user_pool keeps its own sign-up rules: set sign_up to `invite`")
        if self.existing_user_pool and self.metrics_client:
            raise ValueError("existing_user_pool keeps its own clients: leave metrics_client out, an admin may read")
        return self


def load_settings(stages: Mapping[str, Any] | None, stage: str) -> Settings:
    """Return the settings of `stage` from the context "stages"; raises SettingsError naming the wrong keys."""
    if not stages or stage not in stages:
        raise SettingsError(f"cdk.json has no stage {stage!r} under context.stages; it has: {', '.join(stages or {})}.")
    try:
        return Settings.model_validate({"stage": stage, **stages[stage]})
    except ValidationError as error:
        lines = [
            f"  {'.'.join(['stages', stage, *map(str, wrong['loc'])])}: {wrong['msg']}" for wrong in error.errors()
        ]
        raise SettingsError("\n".join(["The settings in cdk.json cannot be used:", *lines])) from error
