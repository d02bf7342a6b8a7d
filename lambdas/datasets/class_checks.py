"""What a training needs of classes and tags: several of them, each more than once, none of them rare."""

import re
from collections.abc import Iterator

from lambdas.datasets.checks import Check, Examples, first, of
from lambdas.datasets.problems import Problem, counted, listed, quoted
from lambdas.datasets.profile import Column

MAX_CLASSES = 1000  # a training container refuses more
LEAST_BALANCE = 0.05  # a class with a twentieth of the largest one's examples is hardly learned
TAG = re.compile(r"O|[BIESLU]-.+")  # BIO, and its kin BIOES and BILOU
TAG_NUMBER = re.compile(r"\d+(\.0)?")


def classes(role: str) -> Check:
    """There are at least two classes, not too many, and each has an example for training and one for testing."""

    def check(examples: Examples, column: Column) -> Iterator[Problem]:
        present, column = examples.with_value(column), without_empty(column)
        if not present:
            return
        if column.distinct < 2:
            only = f": {quoted(column.top[0].value)}" if column.top else ""
            yield Problem(
                code="one_class",
                message=f"The column {quoted(column.name)} has only one class{only}.",
                fix="Add examples of at least one other class.",
            )
        elif column.distinct > MAX_CLASSES or column.distinct > present / 2:
            yield Problem(
                code="too_many_classes",
                message=f"The column {quoted(column.name)} has {column.distinct:,} different values in "
                f"{counted(present, 'example')}: too many for classes.",
                fix=f"Choose a column with at most {MAX_CLASSES:,} classes and at least 2 examples of each.",
            )
        elif rarest(column) == 1:
            yield rare_class(column)

    return of(role, check)


def without_empty(column: Column) -> Column:
    """Return the column as it is without empty texts, which are no class."""
    top = [one for one in column.top or () if one.value.strip()]
    if not column.empty or not top:
        return column
    distinct = column.distinct - (len(column.top or ()) - len(top))
    balance = top[-1].count / top[0].count if distinct == len(top) else column.balance
    return column.model_copy(update={"top": top, "distinct": distinct, "balance": balance})


def rarest(column: Column) -> int | None:
    """Return how many examples the smallest class has, if that is known."""
    if not column.top or column.balance is None:
        return None
    return round(column.balance * column.top[0].count)


def rare_class(column: Column) -> Problem:
    """Say that a class has a single example, which cannot be learned from and tested on."""
    single = [one.value for one in column.top or () if one.count == 1]
    which = f"The class {quoted(single[0])}" if single else "A class"
    if len(single) > 1:
        which = f"Each of the {len(single)} classes {listed(single)}"
    return Problem(
        code="rare_class",
        message=f"{which} in {quoted(column.name)} has only one example.",
        fix="Add examples of it, or take it out: every class must be in training and in test.",
    )


def repeated_classes(role: str) -> Check:
    """Every class of boxes or tags is there twice."""

    def check(_: Examples, column: Column) -> Iterator[Problem]:
        if rarest(column) == 1 and column.items != "mixed":
            yield rare_class(column)

    return of(role, check)


def balanced(role: str) -> Check:
    """The rarest class is not far behind the most frequent one; a single example of it is another matter."""

    def check(_: Examples, column: Column) -> Iterator[Problem]:
        column = without_empty(column)
        if column.top and (rarest(column) or 0) > 1 and (column.balance or 0) < LEAST_BALANCE:
            largest = column.top[0]
            yield Problem(
                code="imbalance",
                message=f"The rarest class in {quoted(column.name)} has {counted(rarest(column) or 0, 'example')}, "
                f"{quoted(largest.value)} has {largest.count:,}.",
                fix="Add examples of the rare classes, and look at the scores of each class.",
            )

    return of(role, check)


def tags(role: str) -> Check:
    """Tags are BIO, or the numbers of tags, and more than one of them occurs."""

    def check(examples: Examples, column: Column) -> Iterator[Problem]:
        seen = [one.value for one in column.top or ()]
        wanted = TAG_NUMBER if column.items == "number" else TAG
        wrong = [tag for tag in seen if not wanted.fullmatch(tag)]
        told = next((f"{one.count:,}{first(one)}" for one in examples.defects("invalid_tags", {column.name})), None)
        if column.items == "mixed":
            return  # a defect of its own
        if told or wrong:
            yield Problem(
                code="invalid_tags",
                message=f"Tags in {quoted(column.name)} that are not BIO: {told or listed(wrong)}.",
                fix="Write O outside of names, B-<kind> where one begins and I-<kind> inside, or numbers from 0.",
            )
        elif len(seen) == 1:
            yield Problem(
                code="one_class",
                message=f"The lists in {quoted(column.name)} hold only one tag: {listed(seen)}.",
                fix="Tag what is to be recognised: there is nothing to learn otherwise.",
            )

    return of(role, check)
