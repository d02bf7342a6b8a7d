"""What is said of an endpoint's life: its lease, its last call, what it costs, when and why it will sleep."""

from pydantic import BaseModel, ConfigDict, Field

MAX_LEASE_HOURS = 24 * 366


class Leased(BaseModel):
    """What an endpoint has of a lease, and when it was last called."""

    lease_hours: int | None = Field(default=None, description="How long a lease lasts; null is without end.")
    lease_until: str | None = Field(default=None, description="When it falls asleep unless the lease is renewed.")
    last_invoked_at: str | None = Field(
        default=None,
        description="To the minute, as CloudWatch counts calls; lists show what was known when it was last asked.",
    )


class Run(BaseModel):
    """What is stored of the times at which SageMaker had the endpoint, and so billed it."""

    started_at: str | None = Field(default=None, description="Since when it is billed; None while it is not.")
    in_service_since: str | None = None
    stopped_at: str | None = Field(default=None, description="When SageMaker was seen to have it no more.")
    instance_hours: float = Field(default=0, description="Of the runs before this one.")
    cost_before: float | None = Field(
        default=None, description="USD of those hours, each run's at its price then; None once one had no price."
    )
    wakes: int = Field(default=0, description="How often it was woken: each deployment has a name of its own.")


class Forecast(BaseModel):
    """What is reckoned when an endpoint is shown, and stored nowhere."""

    time_left_seconds: int | None = Field(default=None, description="Until it falls asleep, if nothing happens.")
    sleeps_at: str | None = None
    sleeps_because: str | None = Field(default=None, description="The sentence that says why, and what keeps it awake.")
    cost_per_hour: float | None = Field(default=None, description="USD, an estimate; 0 while it sleeps.")
    cost_so_far: float | None = Field(
        default=None, description="USD, an estimate: of all its runs, each at the price of what it ran on."
    )
    cost_note: str | None = Field(default=None, description="What the estimate rests on, or why there is none.")


class LeaseUpdate(BaseModel):
    """A new lease, from now on."""

    model_config = ConfigDict(extra="forbid")

    hours: int | None = Field(default=None, ge=1, le=MAX_LEASE_HOURS, description="As long as it was when absent.")
