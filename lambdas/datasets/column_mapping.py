"""Which column plays which role in a training: named by the user, or found by the names that the field uses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lambdas.datasets.problems import Problem, counted, either, listed, quoted
from lambdas.datasets.profile import Column, ColumnType, Profile

TrainingType = Literal[
    "llm", "diffusion", "text_classification", "ner", "image_classification", "object_detection", "tabular", "custom"
]
TARGET = "target"


@dataclass(frozen=True)
class Role:
    """A part that a column plays: the names by which the field knows it, the most usual first, and what it may hold.

    `only` are the types by which a column is known when it is the only one of them and no name fits.
    """

    name: str
    names: tuple[str, ...]
    types: tuple[ColumnType, ...]
    holds: str
    only: tuple[ColumnType, ...] = ()


TEXT_NAMES = ("text", "sentence", "content", "review", "document", "body", "comment")
LABEL_NAMES = ("label", "labels", "target", "class", "category", "categories", "sentiment", "intent")
CLASS_TYPES: tuple[ColumnType, ...] = ("category", "boolean", "number", "text")

TEXT = Role("text", TEXT_NAMES, ("text", "category"), "text", only=("text",))
# Of several texts none says which is the document, and a prompt alone is not one: only a name tells.
DOCUMENT = Role("text", TEXT_NAMES, ("text", "category"), "text")
CAPTION = Role("text", ("text", "caption", "prompt", "description"), ("text", "category"), "text", only=("text",))
LABEL = Role("label", LABEL_NAMES, CLASS_TYPES, "one class", only=("category", "boolean"))
TOKENS = Role("tokens", ("tokens", "words"), ("list",), "a list of words")
TAGS = Role("tags", ("ner_tags", "tags", "labels", "ner"), ("list",), "a list of tags")
MESSAGES = Role(
    "messages",
    ("messages", "conversations", "conversation", "chat"),
    ("messages",),
    "a list of messages, each with role and content",
    only=("messages",),
)
PROMPT = Role("prompt", ("prompt", "instruction", "question", "input", "query"), ("text", "category"), "text")
COMPLETION = Role("completion", ("completion", "output", "answer", "response"), ("text", "category"), "text")
IMAGE = Role("image", ("image", "file_name", "filename", "file", "path"), ("file",), "a file name", only=("file",))
OBJECTS = Role("objects", ("objects", "annotations"), ("objects",), "a list of boxes", only=("objects",))
PREDICTED = Role(TARGET, ("target", "label", "class", "y"), (*CLASS_TYPES, "datetime"), "one value")

# Training type -> the sets of roles, any one of which is enough; of several that are there the first is taken.
ROLES: dict[TrainingType, tuple[tuple[Role, ...], ...]] = {
    "llm": ((MESSAGES,), (PROMPT, COMPLETION), (DOCUMENT,)),
    "diffusion": ((IMAGE, CAPTION),),
    "text_classification": ((TEXT, LABEL),),
    "ner": ((TOKENS, TAGS),),
    "image_classification": ((IMAGE, LABEL),),
    "object_detection": ((IMAGE, OBJECTS),),
    "tabular": ((PREDICTED,),),
    "custom": ((),),
}
ROLE_NAMES = tuple(dict.fromkeys(role.name for sets in ROLES.values() for roles in sets for role in roles))


@dataclass
class ColumnMapping:
    """`columns` is {role: column} of what was found, `usable` the same without columns that hold something else."""

    columns: dict[str, str] = field(default_factory=dict)
    usable: dict[str, Column] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def unknown_roles(given: Mapping[str, str]) -> list[str]:
    """Return a sentence for each role of a user's mapping that no training type knows."""
    return [
        f"There is no role {quoted(role)}: the roles are {', '.join(ROLE_NAMES)}."
        for role in given
        if role not in ROLE_NAMES
    ]


def detect(
    profile: Profile, training_type: TrainingType, given: Mapping[str, str], target: str | None = None
) -> ColumnMapping:
    """Return the columns that a training would learn from, and what is wrong with them.

    `given` is the user's {role: column}, which overrules what the names say; roles of other training types in it are
    ignored. `target` overrules both.
    """
    wanted = {**given, TARGET: target} if target is not None else dict(given)
    tried = [(roles, found(profile, roles, wanted)) for roles in ROLES[training_type]]

    def preference(one: tuple[tuple[Role, ...], dict[str, str]]) -> tuple[int, bool, int]:
        roles, columns = one
        return sum(role.name in wanted for role in roles), len(columns) == len(roles), len(columns)

    roles, columns = max(tried, key=preference)
    sets = [roles] if columns else [roles for roles, _ in tried]
    return checked(profile, sets, columns)


def found(profile: Profile, roles: tuple[Role, ...], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return {role: column}: as wanted, else by name, else by type where only one column can be meant."""
    columns = {role.name: wanted[role.name] for role in roles if role.name in wanted}
    for choose in (by_name, by_type):
        for role in roles:
            free = [column for column in profile.columns if column.name not in columns.values()]
            if role.name not in columns and (column := choose(role, free)):
                columns[role.name] = column.name
    return {role.name: columns[role.name] for role in roles if role.name in columns}


def by_name(role: Role, columns: list[Column]) -> Column | None:
    """Return the column with the role's most usual name; among equally named, one that holds what it should."""
    fitting = [column for column in columns if column.name.strip().lower() in role.names]
    usual = sorted(fitting, key=lambda column: role.names.index(column.name.strip().lower()))
    return next((column for column in usual if column.type in role.types), usual[0] if usual else None)


def by_type(role: Role, columns: list[Column]) -> Column | None:
    """Return the column that alone has the role's type."""
    fitting = [column for column in columns if column.type in role.only]
    return fitting[0] if len(fitting) == 1 else None


def checked(profile: Profile, sets: list[tuple[Role, ...]], columns: dict[str, str]) -> ColumnMapping:
    """Return the mapping with its problems: roles without a column, columns that are not there or hold the wrong."""
    mapping = ColumnMapping(columns)
    there = {column.name: column for column in profile.columns}
    if not columns and any(sets):
        mapping.problems.append(nothing_found(profile, sets))
        return mapping
    for role in sets[0]:
        name = columns.get(role.name)
        if name is None:
            mapping.problems.append(nothing_found(profile, [(role,)]))
        elif name not in there:
            mapping.problems.append(unknown_column(role, name, profile))
        elif list(columns.values()).index(name) < list(columns).index(role.name):
            mapping.problems.append(same_column(role, name))
        elif there[name].type not in role.types:
            mapping.problems.append(wrong_column_type(role, there[name]))
        else:
            mapping.usable[role.name] = there[name]
    return mapping


def nothing_found(profile: Profile, sets: list[tuple[Role, ...]]) -> Problem:
    """Say which columns there are and which names were looked for."""
    roles = [" and ".join(role.name for role in one) for one in sets]
    names = "; or ".join(" with ".join("/".join(role.names) for role in one) for one in sets)
    example = ", ".join(f'"{role.name}": "<your column>"' for role in sets[0])
    message = f"No column for {either(roles)}: the columns are {listed(there.name for there in profile.columns)}"
    fix = f"Rename a column to {sets[0][0].names[0]}, or set column_mapping to {{{example}}}."
    if roles == [TARGET]:
        fix = f'Choose the column to predict as {TARGET}, or set column_mapping to {{"{TARGET}": "<your column>"}}.'
    return Problem(code="missing_column", message=f"{message}; the names looked for are {names}.", fix=fix)


def unknown_column(role: Role, name: str, profile: Profile) -> Problem:
    """Say that a column that was named is not there."""
    return Problem(
        code="unknown_column",
        message=f"There is no column {quoted(name)} for {role.name}: the columns are "
        f"{listed(there.name for there in profile.columns)}.",
        fix=f"Give one of these {counted(len(profile.columns), 'column')} as {role.name}.",
    )


def same_column(role: Role, name: str) -> Problem:
    """Say that a column was named for two roles."""
    return Problem(
        code="same_column",
        message=f"The column {quoted(name)} is given for {role.name} and for another role too.",
        fix=f"Give {role.name} a column of its own in column_mapping.",
    )


def wrong_column_type(role: Role, column: Column) -> Problem:
    """Say what a column holds and what it should."""
    fix = f"Put {role.holds} into each row, or set column_mapping to another column for {role.name}."
    if column.type in ("text", "category") and not {"text", "category"} & {*role.types}:
        fix = "Write lists and objects in JSONL or Parquet: a cell of CSV or Excel is only text."
    return Problem(
        code="wrong_column_type",
        message=f"The column {quoted(column.name)} is of type {column.type}, where {role.name} needs {role.holds}.",
        fix=fix,
    )
