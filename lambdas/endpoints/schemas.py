"""What an endpoint is asked for with, what is stored about it, and what it shows."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from lambdas.common.instances import InstanceType
from lambdas.common.store import Entity
from lambdas.endpoints.copies import Copies
from lambdas.endpoints.lifetimes import MAX_LEASE_HOURS, Forecast, Leased, Run
from lambdas.endpoints.llm import LlmSettings
from lambdas.models.schemas import ModelReference, Verdict

Status = Literal["creating", "updating", "in_service", "sleeping", "failed", "deleting"]
Kind = Literal["realtime", "serverless", "async", "model_based", "inference_component_based"]
DisplayName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


class Serverless(BaseModel):
    """How large a serverless endpoint is."""

    model_config = ConfigDict(extra="forbid")

    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 2048
    max_concurrency: int = Field(default=5, ge=1, le=200, description="Calls at once; a further one is refused.")


class Autoscaling(BaseModel):
    """Between how many instances a realtime endpoint scales, and when."""

    model_config = ConfigDict(extra="forbid")

    min_instances: int = Field(default=1, ge=1, le=10)
    max_instances: int = Field(ge=1, le=10)
    invocations_per_instance: float = Field(gt=0, description="Calls a minute that each instance is to have.")

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.min_instances > self.max_instances:
            raise ValueError("min_instances is larger than max_instances.")
        return self


class EndpointCreate(BaseModel):
    """A request to deploy a model."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName
    model: ModelReference
    kind: Kind = Field(
        default="realtime",
        description="`realtime` answers at once; `serverless` is paid by the call, without network isolation and GPU; "
        "`async` answers later, in S3, and takes what is large or slow; `model_based` serves language models by vLLM, "
        "`inference_component_based` does so for several on the same instances, down to none while nobody calls.",
    )
    instance_type: InstanceType | None = Field(default=None, description="The stage's first one when absent.")
    instance_count: int = Field(default=1, ge=1, le=10)
    llm: LlmSettings | None = Field(
        default=None, description="For `model_based` and `inference_component_based`: how the model is served."
    )
    copies: Copies | None = Field(default=None, description="Only with `kind` `inference_component_based`.")
    host_endpoint_id: str | None = Field(
        default=None, max_length=63, description="Another one of yours of that kind, whose instances are to be shared."
    )
    serverless: Serverless | None = Field(default=None, description="Only with `kind` `serverless`.")
    autoscaling: Autoscaling | None = Field(default=None, description="Only with `kind` `realtime`.")
    lease_hours: int | None = Field(
        default=None, ge=1, le=MAX_LEASE_HOURS, description="It sleeps after so long; the stage's lease when absent."
    )
    accept_risk: bool = Field(
        default=False, description="Deploy a version that the scanner does not call clean; it is recorded who did."
    )

    @model_validator(mode="after")
    def fits_its_kind(self) -> Self:
        instances = {"instance_type", "instance_count"} & self.model_fields_set
        if self.kind == "serverless" and instances:
            raise ValueError(f"A serverless endpoint has no instances: leave out {', '.join(sorted(instances))}.")
        if self.kind != "serverless" and self.serverless:
            raise ValueError("serverless goes with kind serverless.")
        if self.kind != "realtime" and self.autoscaling:
            raise ValueError("autoscaling goes with kind realtime.")
        if self.kind == "inference_component_based":
            self.fits_a_component()
        elif self.copies or self.host_endpoint_id:
            raise ValueError("copies and host_endpoint_id go with kind inference_component_based.")
        return self

    def fits_a_component(self) -> None:
        if "instance_count" in self.model_fields_set:
            raise ValueError("The instances come and go with the copies: leave out instance_count, see max_instances.")
        if self.host_endpoint_id and self.instance_type:
            raise ValueError("The instances are those of host_endpoint_id: leave out instance_type.")
        if self.host_endpoint_id and self.copies and self.copies.max_instances:
            raise ValueError("The instances are those of host_endpoint_id: leave out max_instances.")


class EndpointChange(BaseModel):
    """What is to be another: only what is given changes. A name at once, the rest by an update without downtime."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName | None = None
    model: ModelReference | None = Field(default=None, description="Another version, or another model.")
    instance_type: InstanceType | None = None
    instance_count: int | None = Field(default=None, ge=1, le=10)
    autoscaling: Autoscaling | None = Field(default=None, description="null ends it.")
    accept_risk: bool = Field(default=False, description="As when an endpoint is made.")


class AcceptedRisk(BaseModel):
    """Who deployed a version although the scanner does not call it clean."""

    by: str
    at: str
    verdict: Verdict


class EndpointFields(Leased):
    """What an endpoint says of itself."""

    name: str
    kind: Kind = "realtime"
    model: ModelReference
    model_version_id: str
    instance_type: str | None = Field(default=None, description="None on a serverless endpoint.")
    instance_count: int = Field(
        default=0, description="0 on a serverless endpoint, and where another endpoint's instances are shared."
    )
    serverless: Serverless | None = None
    autoscaling: Autoscaling | None = None
    llm: LlmSettings | None = None
    copies: Copies | None = None
    host_endpoint_id: str | None = Field(
        default=None, description="Whose name SageMaker's endpoint bears; those with the same share its instances."
    )
    network_isolation: bool = Field(default=True, description="False on serverless endpoints: AWS has none there.")
    status: Status = "creating"
    reason: str | None = Field(default=None, description="Why it failed, why its last update did, or why it sleeps.")
    accepted_risk: AcceptedRisk | None = None


class Update(BaseModel):
    """An update under way: the fields as they will be, and how far it is."""

    number: int = Field(description="Of the deployments of its endpoint: what SageMaker has of it bears it.")
    deploys: bool = Field(description="False when only the scaling changes.")
    begun: bool = Field(default=False, description="Whether UpdateEndpoint was called.")
    model: ModelReference
    model_version_id: str
    image_family: str
    artefact: str
    instance_type: str | None = None
    instance_count: int
    autoscaling: Autoscaling | None = None
    accepted_risk: AcceptedRisk | None = None


class Endpoint(EndpointFields, Run, Entity):
    """An endpoint as it is stored. `endpoint_name` is the name of all that SageMaker has of it alone."""

    endpoint_name: str
    host: str | None = Field(default=None, description="SageMaker's endpoint that its inference component is on.")
    image_family: str
    artefact: str = Field(description="s3:// address of model.tar.gz, or of the prefix of an uploaded version's files")
    holds_model: bool = Field(default=True, description="False once a failed deployment was rolled back.")
    deployment: int = Field(default=1, description="The number of the deployment that serves.")
    deployments: int = Field(default=1, description="How many were begun: a number is never used again.")
    update: Update | None = None

    @property
    def sagemaker_endpoint(self) -> str:
        """Return the name of the endpoint of SageMaker that answers for it."""
        return self.host or self.endpoint_name


class EndpointPublic(EndpointFields, Forecast):
    """An endpoint as it is shown."""

    id: str
    user_id: str
    url: str = Field(description="POST here what the model takes.")
    updating_to: ModelReference | None = Field(default=None, description="What an update under way will serve.")
    created_at: str
    updated_at: str


class InferenceCreate(BaseModel):
    """A request to an asynchronous endpoint whose input is uploaded first, because it is large."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(ge=1, le=1024**3, description="Bytes of the input; exactly as many are taken.")
    content_type: str = Field(default="application/json", min_length=1, max_length=200)
    accept: str = Field(default="application/json", min_length=1, max_length=200)


class InputUpload(BaseModel):
    """Where the input of an inference goes."""

    url: str = Field(description="PUT the input here, with exactly these headers.")
    headers: dict[str, str]
    expires_in: int = Field(description="Seconds.")


class Inference(BaseModel):
    """One request to an asynchronous endpoint."""

    inference_id: str
    status: Literal["uploading", "pending", "completed", "failed"]
    url: str = Field(description="GET this for how far it is.")
    reason: str | None = Field(default=None, description="Why it failed, in the container's words.")
    output_url: str | None = Field(default=None, description="GET the answer here, for an hour.")
    upload: InputUpload | None = None
