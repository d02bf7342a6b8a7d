"""Terms and filters, without a table: what matches a filter is always indexed under its terms.

Run: python -m pytest tests/units/test_search_terms.py
"""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.common.ids import earliest_id
from lambdas.models import search_terms
from lambdas.models.schemas import Framework, ModelType, ModelVersion
from lambdas.models.search_terms import Filter, ids_within, matches, milliseconds, terms_for, terms_of, words_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Few letters, so that searches meet; some that fold to others, or to several.
LETTERS = st.sampled_from("abAB12 -_.éÉßŞİﬁⅣ²字")
TEXT = st.text(LETTERS, max_size=40)
TAGS = st.lists(st.text(LETTERS, max_size=5).map(str.strip).filter(bool), max_size=4)


def version(**fields: Any) -> ModelVersion:
    fixed = {"owner": "ada", "model_id": "iris", "version": "v1", "name": "Iris", "status": "ready"}
    kinds = {"framework": "sklearn", "model_type": "classification", "id": earliest_id("mdl", milliseconds(NOON))}
    return ModelVersion.model_validate({**fixed, **kinds, "created_at": "2026-03-01T12:00:00.000Z", **fields})


versions = st.builds(
    version,
    model_id=st.sampled_from(["iris", "a-b", "ab.1", "resnet50"]),
    name=TEXT,
    description=st.none() | TEXT,
    algorithm=st.none() | TEXT,
    tags=TAGS,
    framework=st.sampled_from(get_args(Framework)[:3]),
    model_type=st.sampled_from(get_args(ModelType)[:3]),
    visibility=st.sampled_from(["private", "shared"]),
    is_production_ready=st.booleans(),
    base_model=st.sampled_from([None, "ada/bert@v1", "ada/bert@v10"]),
    status=st.sampled_from(["ready", "deleting", "uploading"]),
)
filters = st.builds(
    Filter,
    model_id=st.sampled_from([None, None, "iris", "a-b"]),
    framework=st.sampled_from([None, None, *get_args(Framework)[:3]]),
    model_type=st.sampled_from([None, None, *get_args(ModelType)[:3]]),
    tags=TAGS.map(lambda tags: tuple(tags[:2])),
    production=st.sampled_from([None, True, False]),
    shared_only=st.booleans(),
    base_model=st.sampled_from([None, None, "ada/bert@v1"]),
    words=st.text(LETTERS, max_size=6).map(lambda text: tuple(words_of(text))),
    created_after=st.sampled_from([None, NOON, NOON + timedelta(milliseconds=1)]),
    created_before=st.sampled_from([None, NOON, NOON + timedelta(milliseconds=1)]),
)


@given(versions, filters)
def test_what_matches_has_every_term_of_the_filter_and_an_id_of_its_time(found: ModelVersion, filter: Filter) -> None:
    if matches(found, filter):
        assert set(terms_for(filter)) <= terms_of(found)
        least, bound = ids_within(filter)
        assert least <= found.id < bound


@given(versions, st.data())
def test_a_version_is_found_by_what_it_is(found: ModelVersion, data: st.DataObject) -> None:
    words = words_of(found.name)
    begun = [word[: data.draw(st.integers(2, 40))] for word in words]
    filter = Filter(
        model_id=found.model_id,
        framework=found.framework,
        model_type=found.model_type,
        tags=tuple(tag.upper() for tag in found.tags),
        production=found.is_production_ready,
        shared_only=found.visibility == "shared",
        base_model=found.base_model,
        words=tuple(begun),
        created_after=NOON,
        created_before=NOON + timedelta(milliseconds=1),
    )
    assert matches(found, filter) == (found.status != "deleting")
    assert set(terms_for(filter)) <= terms_of(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ResNet-50, fine_tuned (v2.1)", ["resnet", "50", "fine", "tuned", "v2", "1"]),
        ("Städte STÄDTE städte", ["städte"]),
        ("ﬁne Straße ２０２６", ["fine", "strasse", "2026"]),
        ("字 模型", ["字", "模型"]),
        ("--- ", []),
    ],
)
def test_words_are_runs_of_letters_and_digits_folded(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_a_word_is_indexed_by_its_beginnings() -> None:
    terms = terms_of(version(model_id="x", name="Classification of trees"))
    begun = {term.removeprefix("word:") for term in terms if term.startswith("word:c")}
    assert begun == {"classification"[:length] for length in range(2, 15)}
    assert {"word:x", "word:of"} <= terms
    assert "word:classification-of" not in terms
    assert max(len(term) for term in terms_of(version(name="w" * 40)) if term.startswith("word:w")) == len("word:") + 16


def test_a_search_finds_beginnings_of_words_but_a_single_letter_only_alone() -> None:
    found = version(name="Plan B for classification")
    for query, expected in {"class": True, "CLASSI plan": True, "assi": False, "b": True, "p": False}.items():
        assert matches(found, Filter(words=tuple(words_of(query)))) is expected


def test_the_end_of_a_long_word_counts_though_only_its_beginning_is_indexed() -> None:
    long = version(name="pneumonoultramicroscopicsilicovolcanoconiosis")
    asked = Filter(words=("pneumonoultramicroscopia",))
    assert set(terms_for(asked)) <= terms_of(long)
    assert not matches(long, asked)


def test_a_description_adds_words_up_to_a_limit_and_never_drives_out_the_name() -> None:
    words = " ".join(f"w{number:03d}" for number in range(500))
    found = version(name="Iris", description=words, algorithm="forest", tags=["flowers"])
    assert {"word:forest", "word:flowers", "word:iris", "word:w000"} <= terms_of(found)
    assert "word:w400" not in terms_of(found)
    assert not matches(found, Filter(words=("w400",)))
    assert len(terms_of(found)) < 64 * 15 + 10


def test_the_index_is_asked_for_the_rarest_terms_and_for_few() -> None:
    words = tuple(words_of("tree classification class classifi"))
    asked = Filter(model_id="m", base_model="a/b@v1", words=words, tags=("t",), framework="onnx", shared_only=True)
    assert terms_for(asked)[:5] == ["model:m", "base:a/b@v1", "word:classification", "word:tree", "tag:t"]
    assert terms_for(Filter()) == ["all"]
    assert terms_for(Filter(tags=("t", "T"))) == ["tag:t"]
    many = Filter(words=tuple(f"{letter}word" for letter in "abcdefghijkl"))
    assert len(terms_for(many)) == search_terms.MAX_TERMS


def test_terms_fit_into_a_key() -> None:
    found = version(tags=["\ufdfa" * 40], name="\ufdfa" * 120)  # one character that folds to eighteen
    assert max(len(term.encode()) for term in terms_of(found)) < 1900
    assert matches(found, Filter(tags=("\ufdfa" * 40,)))
    assert not matches(found, Filter(tags=("\ufdfa" * 39,)))


@pytest.mark.parametrize(
    ("after", "before", "expected"),
    [
        (NOON, None, True),
        (NOON + timedelta(microseconds=1), None, False),
        (None, NOON, False),
        (None, NOON + timedelta(microseconds=1), True),
        (NOON.replace(tzinfo=None), NOON.replace(tzinfo=None, hour=13), True),  # UTC where no zone is named
        (datetime.min, datetime.max, True),
        (datetime.max, None, False),
        (None, datetime.min, False),
    ],
)
def test_times_are_from_and_up_to(after: datetime | None, before: datetime | None, expected: bool) -> None:
    asked = Filter(created_after=after, created_before=before)
    assert matches(version(), asked) is expected
    least, bound = ids_within(asked)
    assert not expected or least <= version().id < bound
