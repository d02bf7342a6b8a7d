"""What a route may ask for in its signature: the caller, by what the caller must be allowed to do."""

from typing import Annotated

from fastapi import Depends, Request

from lambdas.common.errors import Forbidden
from lambdas.common.identity import Caller as CallerIdentity
from lambdas.common.identity import caller_of, reader_of_metrics


def current_caller(request: Request) -> CallerIdentity:
    """Return the caller of this request; raises Unauthenticated."""
    return caller_of(request.scope["aws.event"])


def current_writer(caller: Annotated[CallerIdentity, Depends(current_caller)]) -> CallerIdentity:
    """Return the caller; raises Forbidden for a viewer."""
    if not caller.may_write:
        raise Forbidden("Your role is viewer: it reads only. Ask an admin for the member group.")
    return caller


def current_admin(caller: Annotated[CallerIdentity, Depends(current_caller)]) -> CallerIdentity:
    """Return the caller; raises Forbidden unless they are an admin."""
    if not caller.is_admin:
        raise Forbidden("Only admins may do this.")
    return caller


def current_metrics_reader(request: Request) -> str:
    """Return who reads the metrics, a program or an admin; raises Unauthenticated, Forbidden."""
    return reader_of_metrics(request.scope["aws.event"])


Caller = Annotated[CallerIdentity, Depends(current_caller)]
Writer = Annotated[CallerIdentity, Depends(current_writer)]
Admin = Annotated[CallerIdentity, Depends(current_admin)]
MetricsReader = Annotated[str, Depends(current_metrics_reader)]
