"""What the system says of itself."""

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """The API answers requests; nothing more is promised by it."""

    status: Literal["healthy"] = "healthy"
