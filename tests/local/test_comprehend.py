"""The stand-in for Amazon Comprehend: what it finds, what it refuses, and what is true of every text.

Run: python -m pytest tests/local/test_comprehend.py
"""

import asyncio
import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdk_app.settings import load_settings
from lambdas.text.schemas import LANGUAGES, MAX_TEXT_BYTES, SentimentName
from local.comprehend import lexicon, service
from local.comprehend.service import Comprehend
from local.home import REPOSITORY
from local.sagemaker.protocol import ServiceError, problems, service_model

COMPREHEND = Comprehend()
OPERATIONS = ("DetectSentiment", "DetectEntities", "DetectKeyPhrases")
PLAIN_WORDS = ["not", "very", "good", "bad", "Paris", "Jane", "of", "Bank", "Dr.", "12", "March", "€5", "a@b.co"]
TEXTS = st.one_of(
    st.text(min_size=1, max_size=200),
    st.lists(st.sampled_from([*PLAIN_WORDS, ",", ".", "\n", "«", "nicht", "東京", "😀"]), min_size=1).map(" ".join),
)


def ask(operation: str, text: str, language: str = "en") -> dict[str, Any]:
    return COMPREHEND.call(operation, {"Text": text, "LanguageCode": language})


def named(text: str, language: str = "en") -> list[tuple[str, str]]:
    return [(found["Text"], found["Type"]) for found in ask("DetectEntities", text, language)["Entities"]]


# ------------------------------------------------------------------------------------------- what it finds


@pytest.mark.parametrize(
    ("language", "text", "sentiment"),
    [
        ("en", "AWS offers a great service. I love it!", "POSITIVE"),
        ("en", "The food was cold and the waiter was rude.", "NEGATIVE"),
        ("en", "The service was not good.", "NEGATIVE"),
        ("en", "It's not bad.", "POSITIVE"),
        ("en", "The room is beautiful, but the bed is uncomfortable.", "MIXED"),
        ("en", "The table stands in the room.", "NEUTRAL"),
        ("fr", "J'adore cet hôtel, le personnel est très aimable.", "POSITIVE"),
        ("fr", "Le repas n'était pas bon.", "NEGATIVE"),
        ("de", "Ein wunderbares Hotel, sehr freundlich.", "POSITIVE"),
        ("de", "Ich mag es nicht.", "NEGATIVE"),
        ("es", "Me encanta este hotel, el personal es muy amable.", "POSITIVE"),
        ("es", "La comida no es buena y el servicio es lento.", "NEGATIVE"),
        ("it", "Il cibo era ottimo e il cameriere gentile.", "POSITIVE"),
        ("it", "Il cibo era pessimo.", "NEGATIVE"),
        ("pt", "Adorei o hotel, é maravilhoso.", "POSITIVE"),
        ("pt", "Não gostei do serviço.", "NEGATIVE"),
    ],
)
def test_sentiment_is_that_of_the_words_and_of_what_denies_them(language: str, text: str, sentiment: str) -> None:
    found = ask("DetectSentiment", text, language)
    assert found["Sentiment"] == sentiment, found
    assert found["SentimentScore"][sentiment.capitalize()] > 0.5


def test_an_intensifier_makes_more_of_a_word() -> None:
    plain, strong = (ask("DetectSentiment", text)["SentimentScore"] for text in ("It is good.", "It is very good."))
    assert strong["Positive"] > plain["Positive"]


@pytest.mark.parametrize("language", sorted({*LANGUAGES} - {*lexicon.LANGUAGES}))
def test_without_a_list_a_text_is_neutral_with_little_confidence_and_has_no_phrases(language: str) -> None:
    found = ask("DetectSentiment", "good, wonderful, terrible", language)
    assert (found["Sentiment"], found["SentimentScore"]["Neutral"]) == ("NEUTRAL", 0.4)
    assert ask("DetectKeyPhrases", "good, wonderful, terrible", language) == {"KeyPhrases": []}


def test_entities_are_found_by_their_form_and_by_what_is_known() -> None:
    text = (
        "Jane Smith of the Bank of America met Dr. Brown in Seattle on March 12, 2024. She paid $12.50 for 200 chairs "
        "and 30% of tax, see https://example.com/a?b=1. Write to ada@example.org!"
    )
    assert named(text) == [
        ("Jane Smith", "PERSON"),
        ("Bank of America", "ORGANIZATION"),
        ("Dr. Brown", "PERSON"),
        ("Seattle", "LOCATION"),
        ("March 12, 2024", "DATE"),
        ("$12.50", "QUANTITY"),
        ("200 chairs", "QUANTITY"),
        ("30%", "QUANTITY"),
        ("https://example.com/a?b=1", "OTHER"),
        ("ada@example.org", "OTHER"),
    ]
    assert named("Rendez-vous à Paris le 12 mars 2024.", "fr") == [("Paris", "LOCATION"), ("12 mars 2024", "DATE")]
    assert named("2024年3月12日に東京で", "ja") == [("2024年3月12日", "DATE")]


def test_a_capital_alone_makes_no_name() -> None:
    assert named("May I ask? Great chairs. I do.") == []
    assert named("Das Essen und der Tisch.", "de") == []


def test_key_phrases_are_what_stands_between_little_words() -> None:
    found = ask("DetectKeyPhrases", "The new hotel is near the old town, see https://example.com.")["KeyPhrases"]
    assert [phrase["Text"] for phrase in found] == ["new hotel", "near", "old town"]


def test_offsets_count_code_points() -> None:
    text = "😀😀 in Zürich"
    (found,) = ask("DetectEntities", text)["Entities"]
    assert (found["BeginOffset"], found["EndOffset"], found["Text"]) == (6, 12, "Zürich")


# ----------------------------------------------------------------------------------- what is always true


@given(TEXTS, st.sampled_from(LANGUAGES))
def test_every_text_is_answered_in_comprehends_shapes(text: str, language: str) -> None:
    for operation in OPERATIONS:
        answer = ask(operation, text, language)
        shape = service_model("comprehend").operation_model(operation).output_shape
        assert problems(shape, answer) == []
        assert answer == ask(operation, text, language), "the same text has the same answer"
        for found in [*answer.get("Entities", []), *answer.get("KeyPhrases", [])]:
            assert text[found["BeginOffset"] : found["EndOffset"]] == found["Text"] != ""
            assert 0 < found["Score"] <= 1
        begins = [found["BeginOffset"] for found in answer.get("Entities", [])]
        ends = [found["EndOffset"] for found in answer.get("Entities", [])]
        assert all(end <= begin for end, begin in zip(ends, begins[1:], strict=False)), "no two overlap"


@given(TEXTS, st.sampled_from(LANGUAGES))
def test_scores_are_shares_of_one(text: str, language: str) -> None:
    found = ask("DetectSentiment", text, language)
    assert {*found["SentimentScore"]} == {"Positive", "Negative", "Neutral", "Mixed"}
    assert abs(sum(found["SentimentScore"].values()) - 1) < 1e-9
    assert all(0 <= score <= 1 for score in found["SentimentScore"].values())
    assert found["SentimentScore"][found["Sentiment"].capitalize()] == max(found["SentimentScore"].values())


# --------------------------------------------------------------------------------------- what it refuses


def refused(operation: str, request: dict[str, Any]) -> str:
    with pytest.raises(ServiceError) as error:
        COMPREHEND.call(operation, request)
    return error.value.code


@pytest.mark.parametrize(("operation", "limit"), service.LIMITS.items())
def test_a_text_past_the_operations_limit_is_refused(operation: str, limit: int) -> None:
    fits = "é" * (limit // 2)
    ask(operation, fits)
    assert refused(operation, {"Text": fits + "a", "LanguageCode": "en"}) == "TextSizeLimitExceededException"


def test_requests_that_the_model_or_this_stand_in_does_not_take_are_refused() -> None:
    assert refused("DetectSentiment", {"Text": "", "LanguageCode": "en"}) == "ValidationException"
    assert refused("DetectSentiment", {"Text": "x", "LanguageCode": "xx"}) == "ValidationException"
    assert refused("DetectSentiment", {"Text": "x"}) == "ValidationException"
    assert refused("DetectKeyPhrases", {"Text": "x", "LanguageCode": "en", "Wrong": 1}) == "ValidationException"
    assert refused("DetectEntities", {"LanguageCode": "en"}) == "InvalidRequestException"
    recognizer = "arn:aws:comprehend:us-east-1:111111111111:entity-recognizer-endpoint/mine"
    assert refused("DetectEntities", {"Text": "x", "EndpointArn": recognizer}) == "NotImplementedLocally"
    assert refused("DetectSyntax", {"Text": "x", "LanguageCode": "en"}) == "NotImplementedLocally"


def test_an_error_arrives_as_aws_sends_it() -> None:
    headers = {"x-amz-target": "Comprehend_20171127.DetectSentiment"}
    status, answered, body = asyncio.run(COMPREHEND.handle("POST", "/", headers, b"[]", {}))
    assert isinstance(body, bytes)
    assert (status, json.loads(body)["__type"]) == (400, "SerializationException")
    assert answered["x-amzn-ErrorType"] == "SerializationException"


# ----------------------------------------------------------------------- what it has in common with the product


def test_the_product_and_the_stand_in_agree_with_comprehends_model_and_limits() -> None:
    shapes: Any = service_model("comprehend").operation_model("DetectSentiment")
    assert [*LANGUAGES] == shapes.input_shape.members["LanguageCode"].enum
    assert {*get_args(SentimentName)} == {*shapes.output_shape.members["Sentiment"].enum}
    assert min(service.LIMITS.values()) == MAX_TEXT_BYTES
    stages = json.loads((REPOSITORY / "cdk.json").read_text())["context"]["stages"]
    assert load_settings(stages, "local").text_model_version == lexicon.MODEL_VERSION


def test_no_word_is_both_praise_and_blame() -> None:
    for language in lexicon.LANGUAGES:
        known = lexicon.lexicon(language)
        both = {word for word in known.positive.whole | known.positive.beginnings if word in known.negative}
        both |= {word for word in known.negative.whole | known.negative.beginnings if word in known.positive}
        assert both == set(), language
        assert min(len(known.positive.whole | known.positive.beginnings), len(known.negative.whole)) > 10
