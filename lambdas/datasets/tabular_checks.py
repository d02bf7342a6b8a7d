"""What the tabular training needs of its target and of the other columns: what its container refuses, said before."""

from collections.abc import Iterator

from lambdas.datasets.checks import Examples, of
from lambdas.datasets.class_checks import balanced, classes
from lambdas.datasets.column_mapping import TARGET
from lambdas.datasets.problems import Problem, counted, quoted
from lambdas.datasets.profile import Column

MIN_ROWS = 10
MAX_CATEGORIES = 50  # of a column of texts, unless they repeat
DISTINCT_SHARE_OF_AN_ID = 0.9  # from this share of different texts on, a column names its rows
DEFAULT_TEST_FRACTION = 0.2
MAX_NUMBERED_CLASSES, ROWS_PER_NUMBERED_CLASS = 20, 10  # whole numbers that are classes, unless a job says otherwise


def known(examples: Examples, column: Column) -> Iterator[Problem]:
    """Enough rows have a target."""
    present = examples.with_value(column)
    if present < MIN_ROWS <= examples.profile.rows:
        yield Problem(
            code="too_few_rows" if present else "missing_values",
            message=f"{counted(present, 'row')} of {examples.profile.rows:,} {'has' if present == 1 else 'have'} "
            f"a value in {quoted(column.name)}; at least {MIN_ROWS} are needed.",
            fix="Add rows with a value there, or choose another target.",
        )


def is_classes(column: Column, present: int) -> bool:
    """Return whether the tabular container would see classes in a target: texts, dates, or a few whole numbers."""
    if column.type != "number":
        return True
    few = column.distinct <= max(2, min(MAX_NUMBERED_CLASSES, present // ROWS_PER_NUMBERED_CLASS))
    return few and all(float(one.value).is_integer() for one in column.top or ())


def varied(examples: Examples, column: Column) -> Iterator[Problem]:
    """The target has different values, and each class of them has rows enough."""
    if column.type == "number" and column.distinct == 1:
        yield Problem(
            code="one_class",
            message=f"The target {quoted(column.name)} has the same value in every row.",
            fix="Choose a target whose values differ, or add rows with other values.",
        )
    elif is_classes(column, examples.with_value(column)):
        yield from classes(TARGET)(examples)


def others(examples: Examples, column: Column) -> Iterator[Problem]:
    """There is something to learn from: neither empty, nor constant, nor different in nearly every row."""
    candidates = [one for one in examples.profile.columns if one.name != column.name]
    if not any(learnable(examples, one) for one in candidates):
        yield Problem(
            code="no_features",
            message=f"None of the {counted(len(candidates), 'column')} besides {quoted(column.name)} can be learned "
            "from: they are empty, constant, or texts that differ in nearly every row.",
            fix="Add columns of numbers or categories that tell something about the target.",
        )


def learnable(examples: Examples, column: Column) -> bool:
    """Return whether the tabular container would learn from a column."""
    if column.distinct == 0 or (column.distinct == 1 and not column.missing):
        return False
    if column.type == "number":
        return True
    repeats = column.distinct <= MAX_CATEGORIES or column.distinct < DISTINCT_SHARE_OF_AN_ID * examples.profile.rows
    return repeats and column.type in ("category", "boolean", "datetime", "text")


def left_out(examples: Examples, column: Column) -> Iterator[Problem]:
    """Every row has a target: the others are not learned from."""
    missing = column.missing + column.empty
    if missing and examples.with_value(column) >= MIN_ROWS:
        yield Problem(
            code="missing_values",
            message=f"{counted(missing, 'row')} of {examples.profile.rows:,} without a value in "
            f"{quoted(column.name)} will be left out.",
            fix="Fill in the target to learn from them too.",
        )


def tested(examples: Examples, column: Column) -> Iterator[Problem]:
    """The usual share of rows for testing has room for every class."""
    present = examples.with_value(column)
    if present < MIN_ROWS or not is_classes(column, present):
        return
    if DEFAULT_TEST_FRACTION * present < column.distinct <= present / 2:
        yield Problem(
            code="few_rows_per_class",
            message=f"{counted(column.distinct, 'class', 'classes')} do not fit into {DEFAULT_TEST_FRACTION:.0%} of "
            f"{counted(present, 'row')}, the usual share for testing.",
            fix="Add rows, or train with a greater test_fraction.",
        )


def even(examples: Examples, column: Column) -> Iterator[Problem]:
    """Where the target is a class, none is rare."""
    if is_classes(column, examples.with_value(column)):
        yield from balanced(TARGET)(examples)


TARGET_KNOWN = of(TARGET, known)
TARGET_VARIED = of(TARGET, varied)
FEATURES = of(TARGET, others)
TARGET_FILLED = of(TARGET, left_out)
TARGET_TESTED = of(TARGET, tested)
TARGET_BALANCED = of(TARGET, even)
