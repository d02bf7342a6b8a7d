"""What an endpoint is asked for with, what is stored about it, and what it shows."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lambdas.common.instances import InstanceType
from lambdas.common.store import Entity
from lambdas.endpoints.lifetimes import MAX_LEASE_HOURS, Forecast, Leased, Run
from lambdas.models.schemas import ModelReference, Verdict

Status = Literal["creating", "updating", "in_service", "sleeping", "failed", "deleting"]
DisplayName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


class EndpointCreate(BaseModel):
    """A request to deploy a model."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName
    model: ModelReference
    instance_type: InstanceType | None = Field(default=None, description="The stage's first one when absent.")
    instance_count: int = Field(default=1, ge=1, le=10)
    lease_hours: int | None = Field(
        default=None, ge=1, le=MAX_LEASE_HOURS, description="It sleeps after so long; the stage's lease when absent."
    )
    accept_risk: bool = Field(
        default=False, description="Deploy a version that the scanner does not call clean; it is recorded who did."
    )


class AcceptedRisk(BaseModel):
    """Who deployed a version although the scanner does not call it clean."""

    by: str
    at: str
    verdict: Verdict


class EndpointFields(Leased):
    """What an endpoint says of itself."""

    name: str
    model: ModelReference
    model_version_id: str
    instance_type: str
    instance_count: int
    status: Status = "creating"
    reason: str | None = Field(default=None, description="Why it failed, or why it sleeps.")
    accepted_risk: AcceptedRisk | None = None


class Endpoint(EndpointFields, Run, Entity):
    """An endpoint as it is stored. `endpoint_name` is the name of all that SageMaker has of it."""

    endpoint_name: str
    image_family: str
    artefact: str = Field(description="s3:// address of model.tar.gz")
    holds_model: bool = Field(default=True, description="False once a failed deployment was rolled back.")


class EndpointPublic(EndpointFields, Forecast):
    """An endpoint as it is shown."""

    id: str
    user_id: str
    url: str = Field(description="POST here what the model takes.")
    created_at: str
    updated_at: str
