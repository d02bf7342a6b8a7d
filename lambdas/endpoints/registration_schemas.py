"""What POST /register takes and answers."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from lambdas.common.uploads import UploadPlan
from lambdas.endpoints.schemas import EndpointCreate
from lambdas.jobs.service import registrations
from lambdas.models.schemas import ModelReference
from lambdas.models.service import UploadCreate

ClientToken = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]


class RegisterCreate(EndpointCreate):
    """A model for the registry, and the endpoint that is to serve it: what POST /endpoints takes, and whence it comes.

    The model is one of three: a version that is there or on its way, what a completed job made, or new files.
    """

    model: ModelReference | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]  one of three here
        default=None, description="A version of the registry; it may still be uploaded or scanned."
    )
    job_id: Annotated[str, StringConstraints(pattern=r"^job-[0-9a-hjkmnp-tv-z]{19}$")] | None = Field(
        default=None, description="A completed job: the version that it made."
    )
    new_model: UploadCreate | None = Field(
        default=None, description="A version to register now; the answer says where to upload its files."
    )
    deploy: bool = Field(default=True, description="False registers only; the same with true deploys it later.")
    client_token: ClientToken | None = Field(
        default=None, description="The same token means the same request; without one, the same content does."
    )

    @model_validator(mode="after")
    def one_source(self) -> Self:
        given = [name for name in ("model", "job_id", "new_model") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give one of model, job_id and new_model")
        return self


class RegistrationStarted(registrations.RegistrationPublic):
    """A job of kind `register`, and what is left to upload for it."""

    uploads: dict[str, UploadPlan | None] | None = Field(
        default=None,
        description="Of new_model: PUT each part to its URL, then POST /ai-models/uploads/{model.id}/complete. Null "
        "for a file that the registry has, and when nothing is left to upload.",
    )
