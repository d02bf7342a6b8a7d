"""The one tree of errors that services raise, and the one table from error to HTTP status.

SlipwayError
├── BadRequest          the request is wrong; `errors` names the fields
├── Unauthenticated     no token, or one that is not an ID token
├── Forbidden           the caller's role does not allow this
├── NotFound            absent, or not the caller's
├── Conflict            exists already, held, or in a state that does not allow this
│   └── Stale           somebody else changed the record since it was read
├── TooLarge            past a documented size
├── TooManyRequests     past a limit; `retry_after` seconds
├── ContainerFailed     the user's own container failed
└── Unavailable         an AWS service did not do its part; `retry_after` seconds
"""

from typing import TypedDict


class FieldError(TypedDict):
    """One wrong field of a request: its path (`parameters.epochs`) and what is wrong with it."""

    field: str
    message: str


class SlipwayError(Exception):
    """Base of all: `detail` is one sentence a person can act on, `code` one word a program can."""

    code = "internal_error"

    def __init__(self, detail: str, *, errors: list[FieldError] | None = None, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after


class BadRequest(SlipwayError):
    code = "bad_request"


class Unauthenticated(SlipwayError):
    code = "unauthenticated"


class Forbidden(SlipwayError):
    code = "forbidden"


class NotFound(SlipwayError):
    code = "not_found"


class Conflict(SlipwayError):
    code = "conflict"


class Stale(Conflict):
    code = "stale"


class TooLarge(SlipwayError):
    code = "too_large"


class TooManyRequests(SlipwayError):
    code = "too_many_requests"


class ContainerFailed(SlipwayError):
    code = "container_failed"


class Unavailable(SlipwayError):
    code = "unavailable"


STATUS_CODES: dict[type[SlipwayError], int] = {
    BadRequest: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Stale: 409,
    TooLarge: 413,
    TooManyRequests: 429,
    ContainerFailed: 502,
    Unavailable: 503,
}
