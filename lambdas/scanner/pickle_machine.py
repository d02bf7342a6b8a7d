"""A machine that follows a pickle's opcodes with symbols for values: nothing is imported, called or made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.pickle_reader import Blob, BrokenPickle
from lambdas.scanner.pickle_state import State
from lambdas.scanner.pickle_trace import Tracer
from lambdas.scanner.pickle_values import LONGEST_STRING, OPAQUE, Keys, items

MOST_STACK = 2_000_000
RICH_STACK = 10_000  # higher up, tuples and dictionaries are opaque
OPS_BETWEEN_LOOKS = 50_000  # at the clock
STOP = ord(".")


class Machine(Tracer):
    """One pickle. What it saw before it broke is in its trace: loading would have done as much."""

    result: Any = OPAQUE

    def run(self) -> None:
        """Follow the opcodes to STOP; raises BrokenPickle where loading would fail, and LimitExceeded."""
        reader, handlers = self.reader, HANDLERS
        while True:
            for _ in range(OPS_BETWEEN_LOOKS):
                self.at = reader.tell()
                code = reader.byte()
                if code == STOP:
                    self.result = self.pop()
                    return
                handler = handlers[code]
                if handler is None:
                    raise BrokenPickle(f"byte 0x{code:02x} is no opcode")
                handler(self)
            self.look()
            if len(self.stack) + len(self.marks) > MOST_STACK:
                raise LimitExceeded("pickle_too_large", "The pickle piles up more values than the scanner follows.")

    def nested(self) -> Machine:
        inner = Machine(self.reader, self.trace, self.look)
        inner.run()
        return inner


def text_of(data: bytes | Blob | None, encoding: str) -> Any:
    """Return a short string; opaque otherwise."""
    if not isinstance(data, bytes) or len(data) > LONGEST_STRING * 4:
        return OPAQUE
    try:
        text = data.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError:
        return OPAQUE
    return text if len(text) <= LONGEST_STRING else OPAQUE


def decimal(machine: Machine) -> int:
    """Return the number that the rest of the line is."""
    try:
        return int(machine.reader.line() or b"")
    except ValueError as error:
        raise BrokenPickle("a number is none") from error


def integer(machine: Machine) -> None:
    line = machine.reader.line()
    machine.push({b"00": False, b"01": True}.get(line, OPAQUE) if line is not None else OPAQUE)
    if line and line not in (b"00", b"01") and len(line) < 20:
        try:
            machine.stack[-1] = int(line, 0)
        except ValueError as error:
            raise BrokenPickle("a number is none") from error


def long(machine: Machine, length: int) -> None:
    data = machine.reader.value(length)
    machine.push(int.from_bytes(data, "little", signed=True) if isinstance(data, bytes) and length <= 16 else OPAQUE)


def text(machine: Machine, data: bytes | Blob | None, encoding: str = "utf-8") -> None:
    machine.push(text_of(data, encoding))


def quoted(machine: Machine) -> None:
    """Push a string of Python 2, written as its repr; one with escapes is never the name of a module."""
    line = machine.reader.line()
    quoted = line is not None and len(line) >= 2 and line[:1] in b"'\"" and line[:1] == line[-1:]
    machine.push(text_of(line[1:-1], "ascii") if line is not None and quoted and b"\\" not in line else OPAQUE)


def blob(machine: Machine, length: int) -> None:
    offset = machine.reader.tell()
    machine.reader.skip(length)
    machine.push(Blob(offset, length))


def opaque_number(machine: Machine, length: int) -> None:
    machine.reader.take(length)
    machine.push(OPAQUE)


def opaque_line(machine: Machine) -> None:
    machine.reader.line()
    machine.push(OPAQUE)


def tuple_of(machine: Machine, values: list[Any]) -> None:
    made = items(values)
    machine.trace.largest_tuple = max(machine.trace.largest_tuple, made.nodes)
    machine.push(made if len(machine.stack) < RICH_STACK else OPAQUE)


def popped(machine: Machine, count: int) -> list[Any]:
    return [machine.pop() for _ in range(count)][::-1]


def dictionary(machine: Machine, pairs: list[Any]) -> None:
    made = Keys() if len(machine.stack) < RICH_STACK else OPAQUE
    machine.set_items(made, pairs)
    machine.push(made)


def append(machine: Machine) -> None:
    machine.pop()
    machine.top()


def add_to_top(machine: Machine) -> None:
    machine.pop_to_mark()
    machine.top()


def set_items(machine: Machine, pairs: list[Any]) -> None:
    machine.set_items(machine.top(), pairs)


def collapse(machine: Machine) -> None:
    machine.pop_to_mark()
    machine.push(OPAQUE)


def global_(machine: Machine) -> None:
    module, name = machine.reader.line(), machine.reader.line()
    machine.find(text_of(module, "utf-8"), text_of(name, "utf-8"))


def stack_global(machine: Machine) -> None:
    module, name = popped(machine, 2)
    machine.find(module, name)


def instance(machine: Machine) -> None:
    global_(machine)
    cls = machine.pop()
    machine.call(cls, items(machine.pop_to_mark()))


def object_(machine: Machine) -> None:
    values = machine.pop_to_mark()
    if not values:
        raise BrokenPickle("it makes an object of nothing")
    machine.call(values[0], items(values[1:]))


def reduce(machine: Machine, count: int = 2) -> None:
    callee, arguments, *_ = popped(machine, count)
    machine.call(callee, arguments)


def extension(machine: Machine, length: int) -> None:
    machine.reader.take(length)
    machine.trace.extensions.append(machine.at)
    machine.push(OPAQUE)


def protocol(machine: Machine) -> None:
    machine.protocol = machine.reader.byte()
    if machine.protocol > 5:
        raise BrokenPickle(f"protocol {machine.protocol} is unknown")


def frame(machine: Machine) -> None:
    length = machine.reader.number(8)
    machine.frame_end = machine.reader.tell() + length


def signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def four(machine: Machine) -> int:
    """Return a length that is written as a signed number."""
    length = signed(machine.reader.take(4))
    if length < 0:
        raise BrokenPickle("a length is negative")
    return length


Handler = Callable[[Machine], Any]
OPCODES: dict[str, Handler] = {
    "(": State.mark,
    "0": State.pop_or_unmark,
    "1": State.pop_to_mark,
    "2": lambda m: m.push(m.top()),
    "F": opaque_line,
    "I": integer,
    "J": lambda m: m.push(signed(m.reader.take(4))),
    "K": lambda m: m.push(m.reader.byte()),
    "L": opaque_line,
    "M": lambda m: m.push(m.reader.number(2)),
    "N": lambda m: m.push(None),
    "P": opaque_line,
    "Q": lambda m: m.persistent(m.pop()),
    "R": reduce,
    "S": quoted,
    "T": lambda m: text(m, m.reader.value(four(m)), "ascii"),
    "U": lambda m: text(m, m.reader.value(m.reader.byte()), "ascii"),
    "V": lambda m: text(m, m.reader.line(), "raw-unicode-escape"),
    "X": lambda m: text(m, m.reader.value(m.reader.number(4))),
    "a": append,
    "b": Machine.build,
    "c": global_,
    "d": lambda m: dictionary(m, m.pop_to_mark()),
    "}": lambda m: dictionary(m, []),
    "e": add_to_top,
    "g": lambda m: m.recall(decimal(m)),
    "h": lambda m: m.recall(m.reader.byte()),
    "i": instance,
    "j": lambda m: m.recall(m.reader.number(4)),
    "l": collapse,
    "]": lambda m: m.push(OPAQUE),
    "o": object_,
    "p": lambda m: m.remember(decimal(m)),
    "q": lambda m: m.remember(m.reader.byte()),
    "r": lambda m: m.remember(m.reader.number(4)),
    "s": lambda m: set_items(m, popped(m, 2)),
    "t": lambda m: tuple_of(m, m.pop_to_mark()),
    ")": lambda m: tuple_of(m, []),
    "u": lambda m: set_items(m, m.pop_to_mark()),
    "G": lambda m: opaque_number(m, 8),
    "\x80": protocol,
    "\x81": reduce,
    "\x82": lambda m: extension(m, 1),
    "\x83": lambda m: extension(m, 2),
    "\x84": lambda m: extension(m, 4),
    "\x85": lambda m: tuple_of(m, popped(m, 1)),
    "\x86": lambda m: tuple_of(m, popped(m, 2)),
    "\x87": lambda m: tuple_of(m, popped(m, 3)),
    "\x88": lambda m: m.push(True),
    "\x89": lambda m: m.push(False),
    "\x8a": lambda m: long(m, m.reader.byte()),
    "\x8b": lambda m: long(m, four(m)),
    "B": lambda m: blob(m, m.reader.number(4)),
    "C": lambda m: blob(m, m.reader.byte()),
    "\x8c": lambda m: text(m, m.reader.value(m.reader.byte())),
    "\x8d": lambda m: text(m, m.reader.value(m.reader.number(8))),
    "\x8e": lambda m: blob(m, m.reader.number(8)),
    "\x8f": lambda m: m.push(OPAQUE),
    "\x90": add_to_top,
    "\x91": collapse,
    "\x92": lambda m: reduce(m, 3),
    "\x93": stack_global,
    "\x94": State.memoize,
    "\x95": frame,
    "\x96": lambda m: blob(m, m.reader.number(8)),
    "\x97": lambda m: m.push(OPAQUE),
    "\x98": lambda m: m.top(),
}
HANDLERS: list[Handler | None] = [OPCODES.get(chr(code)) for code in range(256)]
