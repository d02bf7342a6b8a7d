"""What a version is found by: the terms that it is indexed under, and whether it is what a search asks for.

The index may know more than is true, never less: whatever matches a filter has all the terms of that filter.
"""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lambdas.common.ids import earliest_id
from lambdas.models.schemas import ModelVersion

EDGE = range(2, 17)  # letters of a word's beginnings that are indexed
MAX_WORDS = 64  # of one version
MAX_TERMS = 8  # of one search that the index is asked for; the records answer for the rest
MAX_TAG = 64  # characters of a folded tag that are indexed
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A version's id is made with its record, a moment before `created_at` is read from the same clock.
ID_BEFORE_RECORD = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What a search asks for: everything given must hold. `words` are those of `words_of`."""

    model_id: str | None = None
    framework: str | None = None
    model_type: str | None = None
    tags: tuple[str, ...] = ()
    production: bool | None = None
    shared_only: bool = False
    base_model: str | None = None
    words: tuple[str, ...] = ()
    created_after: datetime | None = None
    """Or at that very moment."""
    created_before: datetime | None = None


def folded(text: str) -> str:
    """Return a text as it is compared: `Å`, `å` and `Å` are one letter."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def words_of(text: str) -> list[str]:
    """Return the distinct words of a text, folded, in order: runs of letters and digits."""
    spaced = "".join(character if character.isalnum() else " " for character in folded(text))
    return list(dict.fromkeys(spaced.split()))


def words_of_version(version: ModelVersion) -> list[str]:
    """Return the words that a version is found by; a long description's last ones are not among them."""
    texts = [version.model_id, version.name, *version.tags, version.algorithm, version.description]
    return words_of(" ".join(text for text in texts if text))[:MAX_WORDS]


def terms_of(version: ModelVersion) -> set[str]:
    """Return every term that the version is indexed under."""
    terms = {
        "all",
        f"model:{version.model_id}",
        f"framework:{version.framework}",
        f"type:{version.model_type}",
        production_term(version.is_production_ready),
    }
    terms |= {tag_term(tag) for tag in version.tags}
    terms |= {f"word:{edge}" for word in words_of_version(version) for edge in edges_of(word)}
    if version.visibility == "shared":
        terms.add("shared")
    if version.base_model:
        terms.add(f"base:{version.base_model}")
    return terms


def terms_for(filter: Filter) -> list[str]:
    """Return the terms that all versions a filter matches have: those that few have first, as far as one can guess."""
    asked = {
        "model": filter.model_id,
        "base": filter.base_model,
        "type": filter.model_type,
        "framework": filter.framework,
    }
    named = {kind: f"{kind}:{value}" for kind, value in asked.items() if value is not None}
    terms = [named[kind] for kind in ("model", "base") if kind in named]
    terms += [f"word:{word[: EDGE.stop - 1]}" for word in sorted(not_implied(filter.words), key=len, reverse=True)]
    terms += [tag_term(tag) for tag in filter.tags]
    terms += [named[kind] for kind in ("type", "framework") if kind in named]
    terms += [production_term(filter.production)] if filter.production is not None else []
    terms += ["shared"] if filter.shared_only else []
    return list(dict.fromkeys(terms))[:MAX_TERMS] or ["all"]


def matches(version: ModelVersion, filter: Filter) -> bool:
    """Return whether a version is what the filter asks for."""
    return (
        version.status != "deleting"
        and filter.model_id in (None, version.model_id)
        and filter.framework in (None, version.framework)
        and filter.model_type in (None, version.model_type)
        and filter.production in (None, version.is_production_ready)
        and filter.base_model in (None, version.base_model)
        and (not filter.shared_only or version.visibility == "shared")
        and {folded(tag) for tag in filter.tags} <= {folded(tag) for tag in version.tags}
        and created_within(version, filter)
        and has_words(version, filter.words)
    )


def has_words(version: ModelVersion, wanted: tuple[str, ...]) -> bool:
    """Return whether each wanted word begins a word of the version; one of a single letter must be one whole."""
    words = words_of_version(version) if wanted else []
    return all(any(word == begun or (len(begun) > 1 and word.startswith(begun)) for word in words) for begun in wanted)


def created_within(version: ModelVersion, filter: Filter) -> bool:
    """Return whether a version was created in the time that the filter asks for."""
    if filter.created_after is None and filter.created_before is None:
        return True
    created = milliseconds(datetime.fromisoformat(version.created_at))
    after, before = filter.created_after, filter.created_before
    return (after is None or created >= milliseconds(after)) and (before is None or created < milliseconds(before))


def ids_within(filter: Filter) -> tuple[str, str]:
    """Return two ids between which (the first included) everything lies that the filter's times allow."""
    after, before = filter.created_after, filter.created_before
    slack = int(ID_BEFORE_RECORD / timedelta(milliseconds=1))
    return (
        earliest_id("mdl", milliseconds(after) - slack) if after else "",
        earliest_id("mdl", milliseconds(before)) if before else "~",
    )


def milliseconds(moment: datetime) -> int:
    """Return a moment (UTC where it names no zone) as milliseconds of the epoch, rounded up as times of records are."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return -((EPOCH - aware) // timedelta(milliseconds=1))


def not_implied(words: tuple[str, ...]) -> list[str]:
    """Return the words without those that begin another of them."""
    return [word for word in words if len(word) == 1 or not any(o != word and o.startswith(word) for o in words)]


def edges_of(word: str) -> list[str]:
    """Return the beginnings under which a word is indexed."""
    return [word[:length] for length in EDGE if length <= len(word)] or [word]


def tag_term(tag: str) -> str:
    """Return the term of a tag."""
    return f"tag:{folded(tag)[:MAX_TAG]}"


def production_term(ready: bool) -> str:
    """Return the term of being ready for production, or not."""
    return f"production:{'yes' if ready else 'no'}"
