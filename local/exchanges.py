"""One request of a client to the API and its answer, as the front door and API Gateway both know it."""

from __future__ import annotations

import contextvars
import time
import uuid
from dataclasses import dataclass, field

STAGE = "api"


@dataclass
class Exchange:
    """A request on its way: what its access-log line is made of, once it is answered."""

    api_id: str
    method: str
    path: str  # below the stage
    address: str = "127.0.0.1"  # the client's
    stage: str = STAGE
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    began: float = field(default_factory=time.monotonic)
    received: float = field(default_factory=time.time)
    route: str = ""  # the resource's path, as in /jobs/{proxy+}
    claims: dict[str, str] = field(default_factory=dict)  # of the caller's token
    error: str = ""  # the type of the gateway response, where the answer is one
    integration_error: str = ""
    integration_seconds: float | None = None
    answered: bool = False

    def milliseconds(self) -> int:
        """How long it has taken so far."""
        return round((time.monotonic() - self.began) * 1000)


current: contextvars.ContextVar[Exchange | None] = contextvars.ContextVar("exchange", default=None)
