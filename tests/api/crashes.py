"""Functions that die at any of their calls to AWS: neither that call is made, nor any after it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.client import BaseClient

EVERY_CALL = 200  # more than any of these operations makes


class Killed(Exception):
    """The function is dead: neither this call to AWS is made, nor any after it."""


@contextmanager
def dying_at(call: int) -> Iterator[list[str]]:
    """Let the function die at its n-th call to AWS; gives the calls that it got to make."""
    made: list[str] = []
    lock, send = threading.Lock(), BaseClient._make_api_call

    def sent(client: Any, operation: str, arguments: Any) -> Any:
        with lock:
            if len(made) >= call - 1:
                raise Killed
            made.append(operation)
        return send(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", sent)
        yield made


@contextmanager
def dying_after(operation: str) -> Iterator[list[str]]:
    """Let the function die at the call that follows the first of an operation; gives the calls that it got to make."""
    made: list[str] = []
    send = BaseClient._make_api_call

    def sent(client: Any, name: str, arguments: Any) -> Any:
        if operation in made:
            raise Killed
        made.append(name)
        return send(client, name, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", sent)
        yield made


def deaths(act: Callable[[], Any]) -> Iterator[int]:
    """Let an act die at its first call to AWS, at its second ... until it lives: yields after each death.

    Between two deaths whoever asks puts things back as they were. Of many calls alike, such as those that put a
    version on its lists, it dies at each of the first four and then at every fourth.
    """
    call = 0
    while call < EVERY_CALL:
        call += 1
        with dying_at(call) as made:
            try:
                answer = act()
            except Killed:
                answer = None
        if len(made) < call - 1 or (answer is not None and getattr(answer, "status", 200) < 400):
            print(f"\n{len(made)} calls: {' '.join(made)}")
            assert len(made) > 2
            return
        yield call
        call += 3 if len(made) > 4 and len(set(made[-4:])) == 1 else 0
    raise AssertionError("it never ends")
