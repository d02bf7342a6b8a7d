"""How many copies of a model an inference component has: what may be set of it."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Copies(BaseModel):
    """How a model shares the instances of its endpoint with others, and between how many copies it scales."""

    model_config = ConfigDict(extra="forbid")

    min_copies: int = Field(default=1, ge=0, le=10, description="0 lets it scale to zero while nobody calls it.")
    max_copies: int = Field(default=1, ge=1, le=10)
    requests_per_copy: float = Field(
        default=5, gt=0, le=1000, description="Calls at once that each copy is to have; it scales to keep to that."
    )
    min_memory_mb: int = Field(
        default=1024, ge=128, le=2_097_152, description="Memory that is kept for each copy. Less than the type has."
    )
    max_instances: int | None = Field(
        default=None, ge=1, le=10, description="For all models on the endpoint; `max_copies` when null."
    )

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.min_copies > self.max_copies:
            raise ValueError("min_copies is larger than max_copies.")
        return self

    @property
    def scales(self) -> bool:
        """Return whether the number of copies changes by itself."""
        return self.min_copies < self.max_copies
