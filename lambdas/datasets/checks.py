"""What a training needs of its examples, one check per need: each says what is wrong, or nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lambdas.datasets.problems import Problem, counted, quoted
from lambdas.datasets.profile import Column, Defect, Profile

DUPLICATE_SHARE = 0.01  # copies end up on both sides of a split; below this share they do not move a score


@dataclass(frozen=True)
class Examples:
    """What was found in a dataset, and the columns that play the training's roles; unusable ones are left out."""

    profile: Profile
    columns: dict[str, Column]

    def with_value(self, column: Column) -> int:
        """Return how many examples have a value that is not empty."""
        return self.profile.rows - column.missing - column.empty

    def defects(self, code: str, columns: set[str]) -> Iterator[Defect]:
        """Yield the defects of a kind that are about these columns alone, or about no column in particular."""
        yield from (one for one in self.profile.defects if one.code == code and columns.issuperset(one.columns))


Check = Callable[[Examples], Iterator[Problem]]


def of(role: str, check: Callable[[Examples, Column], Iterator[Problem]]) -> Check:
    """Return a check of the column with a role; without a usable one there is nothing to say."""
    return lambda examples: check(examples, examples.columns[role]) if role in examples.columns else iter(())


def at_least(fewest: int) -> Check:
    """There are enough examples."""

    def check(examples: Examples) -> Iterator[Problem]:
        if examples.profile.rows < fewest:
            yield Problem(
                code="too_few_rows",
                message=f"The dataset has {counted(examples.profile.rows, 'example')}; at least {fewest} are needed.",
                fix=f"Add at least {counted(fewest - examples.profile.rows, 'example')}.",
            )

    return check


def present(*roles: str) -> Check:
    """Every example has a value for each role."""
    return every(roles, lambda column: (("missing_values", column.missing, "has no value"),))


def filled(*roles: str) -> Check:
    """Every example has a value for each role, and none is empty."""
    return every(
        roles,
        lambda column: (
            ("missing_values", column.missing, "has no value"),
            ("empty_values", column.empty, "is empty"),
        ),
    )


def every(roles: tuple[str, ...], faults: Callable[[Column], tuple[tuple[str, int, str], ...]]) -> Check:
    """Return a check that no example has a fault, each with its code, count and words, in the columns of the roles."""

    def check(examples: Examples) -> Iterator[Problem]:
        for column in (examples.columns[role] for role in roles if role in examples.columns):
            for code, count, what in faults(column):
                if count:
                    yield Problem(
                        code=code,
                        message=f"{quoted(column.name)} {what} in {count:,} of {examples.profile.rows:,} examples.",
                        fix=f"Fill in {quoted(column.name)}, or take these examples out.",
                    )

    return check


def defect(code: str, what: str, fix: str, *roles: str) -> Check:
    """Processing found none of a kind of defect; with `roles`, in their columns."""

    def check(examples: Examples) -> Iterator[Problem]:
        columns = {examples.columns[role].name for role in roles if role in examples.columns}
        for found in examples.defects(code, columns):
            yield Problem(code=code, message=f"{what}: {found.count:,}{first(found)}.", fix=fix)

    return check


def first(found: Defect) -> str:
    """Return where a defect was first seen, in brackets."""
    places = ", ".join(quoted(place)[1:-1] for place in found.examples)
    return f" (first in {places})" if places else ""


def duplicates(examples: Examples) -> Iterator[Problem]:
    """Few examples are copies of others."""
    profile = examples.profile
    if profile.duplicates > DUPLICATE_SHARE * profile.rows:
        about = "" if profile.duplicates_exact else "about "
        yield Problem(
            code="duplicates",
            message=f"Examples that repeat an earlier one: {about}{profile.duplicates:,} of {profile.rows:,}.",
            fix="Take them out: copies in training and test make the scores too good.",
        )


def shorter(role: str, most: int, unit: str, why: str) -> Check:
    """No text is so long that models cut it; `most` in characters, or in items of a list."""

    def check(_: Examples, column: Column) -> Iterator[Problem]:
        length = column.length
        if length and length.max > most:
            yield Problem(
                code="long_texts",
                message=f"The longest {role} has {length.max:,.0f} {unit} (mean {length.mean:,.0f}); {why}.",
                fix=f"Shorten or split texts of more than {most:,} {unit}, or accept that their ends are not read.",
            )

    return of(role, check)
