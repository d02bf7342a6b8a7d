"""Blocking calls (boto3, tar, HTTP) off the event loop, in pools of our own; and waits that an event cuts short.

The emulator runs its request handlers in the loop's default pool. Our S3 calls are answered by those handlers, so
sharing that pool could leave both sides waiting for a free thread.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_transfers = ThreadPoolExecutor(16, "sagemaker-transfer")
_invocations = ThreadPoolExecutor(32, "sagemaker-invoke")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a transfer or an AWS call; raises what it raises."""
    return await asyncio.get_running_loop().run_in_executor(_transfers, lambda: function(*args, **kwargs))


async def in_invocation_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs one HTTP exchange with a serving process, so that slow models never hold up transfers."""
    return await asyncio.get_running_loop().run_in_executor(_invocations, lambda: function(*args, **kwargs))


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether `event` was set before `seconds` were over; returns at once when it is."""
    try:
        return await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
