"""`POST /register` over HTTP. What becomes of a registration is told by the jobs: `GET /jobs/{id}`."""

from fastapi import APIRouter

from lambdas.common.dependencies import Writer
from lambdas.endpoints import registering
from lambdas.endpoints.registration_schemas import RegisterCreate, RegistrationStarted

router = APIRouter(tags=["endpoints"])


@router.post("/register", status_code=201)
def register_model(caller: Writer, request: RegisterCreate) -> RegistrationStarted:
    """Register a model and deploy it, as one job of kind `register`. The same request again has the same answer."""
    registration = registering.register(caller, request)
    return RegistrationStarted.of(registration, uploads=registering.uploads_of(registration))
