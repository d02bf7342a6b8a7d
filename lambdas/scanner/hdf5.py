"""HDF5 files, as Keras writes them: which other files they would open, whether they are what they claim, and what
a Keras model in them says; values of datasets are never read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from lambdas.scanner import hdf5_messages as messages
from lambdas.scanner.binary import MOST_PARAMETERS, noting, product
from lambdas.scanner.hdf5_file import File, Message
from lambdas.scanner.hdf5_heaps import FractalHeap, entries, local_heap, records, terminated
from lambdas.scanner.hdf5_messages import Attribute, Datatype, Link
from lambdas.scanner.keras import examine_model_config, examine_training_config
from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

MOST_OBJECTS = 100_000
MOST_LINKS = 300_000
MOST_HOPS = 40  # soft links that lead to soft links
MOST_NOTES = 50
LONGEST_PATH = 400
MOST_SOFT_LINKS = 10_000
MOST_PARTS = 32  # of a path with soft links in it
MOST_NAMES = 64 * 1024 * 1024  # characters of links
FILTERS = {1: 1032, 2: 1, 3: 1, 4: 50, 5: 64, 6: 64, 32000: 300}  # built in: identifier -> how far it can compress
ALLOWANCE = 1024 * 1024  # bytes that a small file may claim
PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


@dataclass
class Seen:
    """An object while its messages are read."""

    path: str
    shape: list[int] | None = None
    type: Datatype | None = None
    filters: list[tuple[int, str]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    elsewhere: bool = False  # its values are in another file, or made of others' values


def scan(source: Source, filename: str) -> Examination:
    """Examine an HDF5 file."""
    found = Examination("hdf5")
    with noting(found):
        Walker(File(source), found).walk()
    return found


class Walker:
    """One walk over all objects of a file, each once."""

    def __init__(self, file: File, found: Examination) -> None:
        self.file = file
        self.found = found
        self.soft: dict[str, str] = {}
        self.groups: dict[int, list[int]] = {}  # group -> the objects in it
        self.parameters: dict[str, int] = {"model_weights": 0, "optimizer": 0, "": 0}
        self.noted: set[str] = set()
        self.links_left = MOST_LINKS
        self.names_left = MOST_NAMES

    def walk(self) -> None:
        """Walk from the root group; raises Malformed, LimitExceeded."""
        waiting, known = [(self.file.root, "")], {self.file.root}
        while waiting:
            address, path = heappop(waiting)  # in the order of the file, so that no page is read twice for long
            seen = self.object(address, path)
            self.dataset(seen)
            for link in seen.links:
                inner = f"{path}/{link.name}"[:LONGEST_PATH]
                self.member(link, inner)
                if link.address is None:
                    continue
                self.groups.setdefault(address, []).append(link.address)
                if link.address not in known:
                    known.add(link.address)
                    heappush(waiting, (link.address, inner))
            if len(known) > MOST_OBJECTS:
                raise LimitExceeded("too_many_objects", f"It has more than {MOST_OBJECTS} objects.")
        self.loops()
        self.describe()

    def object(self, address: int, path: str) -> Seen:
        """Read an object's header."""
        seen = Seen(path)
        for message in self.file.messages(address):
            body = self.file.resolved(message.type, message.flags, message.body)
            if body is None:
                self.found.unscanned("shared_message", f"A property of {path or '/'} is shared in a way not followed.")
                continue
            self.message(Message(message.type, 0, body), seen)
        return seen

    def message(self, message: Message, seen: Seen) -> None:
        """Take in one property of an object."""
        file, body = self.file, message.body
        match message.type:
            case messages.DATASPACE:
                seen.shape = messages.dataspace(file, body)
            case messages.DATATYPE:
                seen.type = messages.datatype(file, body)
            case messages.FILTERS:
                seen.filters = messages.filters(file, body)
            case messages.LINK:
                self.add_link(seen, messages.link(file, body))
            case messages.SYMBOL_TABLE:
                fields = messages.Fields(file, body)
                for entry in entries(file, fields.address(), fields.address()):
                    kind = messages.HARD if entry.soft is None else messages.SOFT
                    self.add_link(seen, Link(entry.name, kind, entry.address, entry.soft or ""))
            case messages.LINK_INFO:
                for link in self.dense(body, counted=8, skipped=4):
                    self.add_link(seen, messages.link(file, link))
            case messages.ATTRIBUTE:
                self.attribute(messages.attribute(file, body), seen)
            case messages.ATTRIBUTE_INFO:
                for attribute in self.dense(body, counted=2, skipped=0):
                    self.attribute(messages.attribute(file, attribute), seen)
            case messages.LAYOUT:
                self.layout(messages.virtual_source(file, body), seen)
            case messages.EXTERNAL_FILES:
                self.external_files(body, seen)

    def add_link(self, seen: Seen, link: Link) -> None:
        self.links_left -= 1
        self.names_left -= len(link.name) + len(link.target)
        if self.links_left < 0 or self.names_left < 0:
            raise LimitExceeded("too_many_objects", f"It has more than {MOST_LINKS} links.")
        seen.links.append(link)

    def dense(self, body: bytes, counted: int, skipped: int) -> Iterator[bytes]:
        """Yield the links or attributes that are kept in a heap because they are many."""
        fields = messages.Fields(self.file, body)
        fields.skip(1)
        flags = fields.uint(1)
        fields.skip(counted if flags & 1 else 0)
        heap_address, names = fields.address(), fields.address()
        if heap_address is None or names is None:
            return
        heap = FractalHeap(self.file, heap_address)
        for record in records(self.file, names):
            record.skip(skipped)
            yield heap.object(record.take(min(heap.id_length, record.left())))

    def member(self, link: Link, path: str) -> None:
        """Note what is wrong with a link."""
        if link.kind == messages.SOFT:
            self.soft[path] = link.target
            if len(self.soft) > MOST_SOFT_LINKS:
                raise LimitExceeded("too_many_objects", f"It has more than {MOST_SOFT_LINKS} soft links.")
        elif link.kind == messages.EXTERNAL:
            self.note("malicious", "external_link", f"The link {path} opens another file: {link.target}.")
        elif link.kind != messages.HARD:
            self.note(
                "suspicious", "user_defined_link", f"The link {path} is of kind {link.kind}, which needs a plugin."
            )

    def layout(self, virtual: str | None, seen: Seen) -> None:
        """Note a dataset whose values are those of others."""
        if virtual is None:
            return
        seen.elsewhere = True
        if virtual == ".":
            self.note("suspicious", "virtual_dataset", f"The dataset {seen.path} is put together from others.")
        else:
            self.note("malicious", "virtual_dataset", f"The dataset {seen.path} opens another file: {virtual}.")

    def external_files(self, body: bytes, seen: Seen) -> None:
        """Note the files that hold the values of a dataset."""
        heap, places = messages.external_files(self.file, body)
        names = local_heap(self.file, heap)
        seen.elsewhere = True
        for place in places[:MOST_NOTES]:
            target = terminated(names, place)
            self.note("malicious", "external_file", f"The dataset {seen.path} is read from another file: {target}.")

    def attribute(self, attribute: Attribute, seen: Seen) -> None:
        """Look at an attribute: Keras keeps a model's layers in one, PyTables keeps pickles in some."""
        value = messages.value(self.file, attribute)
        if value is None:
            return
        where = f"the attribute {attribute.name} of {seen.path or '/'}"
        if value.startswith(PICKLES) and b"." in value:
            self.note("suspicious", "pickle", f"There is a pickle in {where}, which PyTables would load.")
        elif attribute.name == "PSEUDOATOM" and value.rstrip(b"\0") == b"object":
            self.note("suspicious", "pickle", f"The values of {seen.path} are pickles, which PyTables would load.")
        if seen.path:
            return
        if attribute.name in ("model_config", "keras_version"):
            self.found.framework = "keras"
        text = value.rstrip(b"\0").decode(errors="replace")
        if attribute.name == "model_config":
            examine_model_config(text, self.found)
        elif attribute.name == "training_config":
            examine_training_config(text, self.found)

    def dataset(self, seen: Seen) -> None:
        """Check that a dataset's shape is one that its file can hold, and count its numbers."""
        if seen.shape is None or seen.type is None:
            return
        compression = 1
        for id, name in seen.filters:
            compression = min(compression * FILTERS.get(id, 1000), 1_000_000)
            if id not in FILTERS:
                self.note("suspicious", "filter", f"The dataset {seen.path} needs the plugin {id} {name} to be read.")
        total = product(seen.shape)
        if not seen.elsewhere and total * seen.type.size > self.file.size * compression + ALLOWANCE:
            message = f"The dataset {seen.path} claims {seen.shape} values, far more than the file can hold."
            self.note("suspicious", "shape_bomb", message)
        elif seen.type.kind in (messages.FIXED, messages.FLOAT):
            top = seen.path.split("/")[1] if "/" in seen.path else ""
            kind = "optimizer" if top.startswith("optimizer") else top if top in self.parameters else ""
            self.parameters[kind] = min(self.parameters[kind] + total, MOST_PARAMETERS)

    def describe(self) -> None:
        """Take over how many numbers are the model's own, without those of its optimizer."""
        parameters = self.parameters["model_weights"] or self.parameters[""]
        if 0 < parameters < MOST_PARAMETERS:
            self.found.metadata["num_parameters"] = parameters

    def loops(self) -> None:
        """Note links that lead back to themselves."""
        for path in self.soft:
            if not self.ends(path):
                self.note("suspicious", "soft_link_loop", f"The soft link {path} leads back to itself.")
        left = {group: [inner for inner in members if inner in self.groups] for group, members in self.groups.items()}
        if has_cycle(left):
            self.note("suspicious", "hard_link_loop", "A group contains itself.")

    def ends(self, path: str) -> bool:
        """Tell whether following a path through soft links comes to an end."""
        for _ in range(MOST_HOPS):
            parts = path.split("/")
            prefixes = ("/".join(parts[:count]) for count in range(2, len(parts) + 1))
            link = next((prefix for prefix in prefixes if prefix in self.soft), None)
            if link is None:
                return True
            target = self.soft[link]
            base = target if target.startswith("/") else f"{link.rsplit('/', 1)[0]}/{target}"
            kept = [part for part in (base + path[len(link) :]).split("/") if part not in ("", ".")]
            path = "/" + "/".join(kept)
            if len(kept) > MOST_PARTS or len(path) > 4 * LONGEST_PATH:
                return False
        return False

    def note(self, severity: str, code: str, message: str) -> None:
        """Keep a finding, once, and not without end; what is malicious always has room."""
        room = 2 * MOST_NOTES if severity == "malicious" else MOST_NOTES
        if message not in self.noted and len(self.noted) < room:
            self.noted.add(message)
            getattr(self.found, severity)(code, message)


def has_cycle(groups: dict[int, list[int]]) -> bool:
    """Tell whether some group is reached from itself: whether taking away groups that no other holds leaves any."""
    holders = dict.fromkeys(groups, 0)
    for members in groups.values():
        for inner in members:
            holders[inner] += 1
    free = [group for group, count in holders.items() if not count]
    taken = 0
    while free:
        taken += 1
        for inner in groups[free.pop()]:
            holders[inner] -= 1
            if not holders[inner]:
                free.append(inner)
    return taken < len(groups)
