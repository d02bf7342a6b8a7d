"""The stack, the marks and the memo of a pickle's machine, as strict as the real unpickler's and bounded in size."""

from __future__ import annotations

from typing import Any

from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.pickle_reader import BrokenPickle
from lambdas.scanner.pickle_values import OPAQUE, Global, Items, Made, Storage, counts

MOST_MEMOS = 2_000_000  # values kept; further ones are opaque, which fails safe
MOST_STRAY_MEMOS = 1_000_000  # numbers out of order


class State:
    """What the opcodes work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.fence = 0  # nothing below the last mark can be taken
        self.memo: dict[int, Any] = {}
        self.memos_in_order = 0  # all numbers below are taken
        self.stray_memos: set[int] = set()  # taken numbers beyond

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def top(self) -> Any:
        if len(self.stack) <= self.fence:
            raise BrokenPickle("it takes a value where there is none")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        del self.stack[-1]
        return value

    def pop_or_unmark(self) -> None:
        if len(self.stack) > self.fence:
            del self.stack[-1]
        else:
            self.unmark()

    def mark(self) -> None:
        self.marks.append(len(self.stack))
        self.fence = len(self.stack)

    def unmark(self) -> int:
        """Forget the last mark and return where it stood."""
        if not self.marks:
            raise BrokenPickle("it goes back to a mark that is not there")
        start = self.marks.pop()
        self.fence = self.marks[-1] if self.marks else 0
        return start

    def pop_to_mark(self) -> list[Any]:
        start = self.unmark()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def remember(self, number: int) -> None:
        """Put the top of the stack into the memo. What could grow is remembered as opaque."""
        value = self.top()
        if number < 0:
            raise BrokenPickle("a memo number is negative")
        if number == self.memos_in_order:
            self.memos_in_order += 1
            while self.memos_in_order in self.stray_memos:
                self.stray_memos.remove(self.memos_in_order)
                self.memos_in_order += 1
        elif number > self.memos_in_order:
            self.stray_memos.add(number)
            if len(self.stray_memos) > MOST_STRAY_MEMOS:
                raise LimitExceeded("pickle_too_large", "The pickle numbers more values than the scanner follows.")
        self.memo.pop(number, None)
        if len(self.memo) < MOST_MEMOS and worth_remembering(value):
            forgotten = isinstance(value, Items) and counts(value) is None
            self.memo[number] = Items((), value.nodes) if forgotten else value

    def memoize(self) -> None:
        self.remember(self.memos_in_order + len(self.stray_memos))

    def recall(self, number: int) -> None:
        if not 0 <= number < self.memos_in_order and number not in self.stray_memos:
            raise BrokenPickle("it takes from the memo what is not there")
        self.push(self.memo.get(number, OPAQUE))


def worth_remembering(value: Any) -> bool:
    """Tell whether a later opcode may need a value by more than being there; all of these are small."""
    if isinstance(value, Made):
        return value.dtype is not None or value.wrapper is not None
    return isinstance(value, str | Items | Global | Storage)
