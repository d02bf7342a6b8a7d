"""What POST /analyze asks of Comprehend, what it makes of the answers and the errors.

Run: python -m pytest tests/units/test_text_analysis.py
"""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Request, Response

from lambdas.common import aws
from lambdas.common.app import create_app, lambda_handler
from lambdas.text.routes import router
from lambdas.text.schemas import LANGUAGES
from tests import aws_requests
from tests.api.client import Answer, ApiClient
from tests.comprehend import Recorded, running_comprehend

TEXT = "AWS offers a great service in Paris."
OPERATIONS = {"DetectSentiment", "DetectEntities", "DetectKeyPhrases"}


@pytest.fixture
def comprehend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """A Comprehend that the function's client reaches by boto3's own endpoint setting."""
    with running_comprehend() as running:
        for name, value in {
            "AWS_ENDPOINT_URL_COMPREHEND": running.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "TEXT_MODEL_VERSION": "slipway-lexicon-1.0",
            "COMPREHEND_REGION": "",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        aws.client.cache_clear()
        yield running
        aws.client.cache_clear()


@pytest.fixture
def seen() -> list[dict[str, Any]]:
    """What a request left to the access log, request by request."""
    return []


@pytest.fixture
def user(seen: list[dict[str, Any]]) -> ApiClient:
    app = create_app(router)

    @app.middleware("http")
    async def keep(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        seen.append(getattr(request.state, "facts", {}))
        return response

    return ApiClient(lambda_handler(app), "ada")


def analyze(user: ApiClient, text: Any = TEXT, **others: Any) -> Answer:
    return user.post("/analyze", {"text": text, **others})


def test_the_answer_has_the_documented_fields_and_types(user: ApiClient, comprehend: Recorded) -> None:
    answer = analyze(user)
    assert answer.status == 200, answer.body
    assert answer.body["sentiment"]["sentiment"] == "POSITIVE"
    scores = answer.body["sentiment"]["scores"]
    assert [*scores] == ["Positive", "Negative", "Neutral", "Mixed"]
    assert {type(score) for score in scores.values()} == {float}
    assert {"text": "AWS", "type": "ORGANIZATION", "score": 0.95} in answer.body["entities"]
    assert all([*found] == ["text", "type", "score"] for found in answer.body["entities"])
    assert "great service" in [found["text"] for found in answer.body["key_phrases"]]
    assert all([*found] == ["text", "score"] for found in answer.body["key_phrases"])
    assert answer.body["model_version"] == "slipway-lexicon-1.0"
    assert [*answer.body] == ["sentiment", "entities", "key_phrases", "model_version"]


def test_the_three_calls_are_under_way_at_the_same_time(user: ApiClient, comprehend: Recorded) -> None:
    comprehend.all_must_meet(3)  # whoever asks one after the other never gets an answer
    assert analyze(user).status == 200
    assert comprehend.met == 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_request_is_one_that_comprehends_model_takes(
    language: str, user: ApiClient, comprehend: Recorded
) -> None:
    assert analyze(user, language=language).status == 200
    assert {*comprehend.requests} == OPERATIONS
    for operation, (request,) in comprehend.requests.items():
        assert aws_requests.faults("comprehend", operation, request) == []
        assert request == {"Text": TEXT, "LanguageCode": language}


@pytest.mark.parametrize(("setting", "region"), [("", "us-east-1"), ("eu-west-1", "eu-west-1")])
def test_texts_go_to_the_region_that_the_stage_names(
    setting: str, region: str, user: ApiClient, comprehend: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPREHEND_REGION", setting)
    assert analyze(user).status == 200
    assert all(f"/{region}/comprehend/aws4_request" in sent["authorization"] for sent in comprehend.headers)
    monkeypatch.delenv("AWS_ENDPOINT_URL_COMPREHEND")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    aws.client.cache_clear()
    assert aws.client("comprehend", setting or None).meta.endpoint_url == f"https://comprehend.{region}.amazonaws.com"


def test_the_log_gets_figures_and_nothing_of_the_text(
    user: ApiClient, comprehend: Recorded, seen: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    answer = analyze(user, "Ada adores the wonderful Zanzibarian sea.", language="en")
    (facts,) = seen
    (analysis,) = facts.values()
    seconds = analysis.pop("comprehend_seconds")
    assert {*seconds} == OPERATIONS and all(0 < value < 60 for value in seconds.values())
    assert analysis == {
        "language": "en",
        "text_length": 41,
        "sentiment": "POSITIVE",
        "confidence": answer.body["sentiment"]["scores"]["Positive"],
        "entities": len(answer.body["entities"]),
    }
    lines = [str(vars(record)) for record in caplog.records]
    assert any("'/analyze'" in line for line in lines)
    assert not any("Zanzibar" in line for line in [*lines, str(facts), str(analysis)])


# --------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_text_is_refused(text: str, user: ApiClient, comprehend: Recorded) -> None:
    answer = analyze(user, text)
    assert (answer.status, answer.body["code"], answer.body["errors"][0]["field"]) == (400, "bad_request", "text")
    assert comprehend.requests == {}


def test_a_text_of_5000_bytes_is_analysed_and_one_more_is_refused_with_its_size(
    user: ApiClient, comprehend: Recorded
) -> None:
    fits = "é" * 2500
    assert analyze(user, fits).status == 200
    answer = analyze(user, fits + "!")
    assert answer.status == 400
    assert answer.body["detail"] == (
        "The text has 5,001 bytes of UTF-8, and at most 5,000 can be analysed at once: "
        "send it in parts, cut between sentences."
    )


def test_an_unknown_language_is_refused_with_those_there_are(user: ApiClient, comprehend: Recorded) -> None:
    answer = analyze(user, language="xx")
    assert answer.status == 400
    assert answer.body["detail"].endswith("en, es, fr, de, it, pt, ar, hi, ja, ko, zh, zh-TW.")
    assert answer.body["errors"][0]["field"] == "language"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": 5}, "text"),
        ({"text": None}, "text"),
        ({"text": "x", "lang": "en"}, "lang"),
        ({"text": "x", "language": 1}, "language"),
        ('{"text": "\\ud800"}', "text"),  # half a character
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_by_field(
    body: Any, field: str, user: ApiClient, comprehend: Recorded
) -> None:
    answer = user.post("/analyze", body)
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, field)
    assert comprehend.requests == {}


@pytest.mark.parametrize(
    "code", ["TextSizeLimitExceededException", "UnsupportedLanguageException", "InvalidRequestException"]
)
@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_what_comprehend_says_of_the_text_is_the_callers_to_mend(
    code: str, operation: str, user: ApiClient, comprehend: Recorded
) -> None:
    comprehend.errors[operation] = (code, 400)
    answer = analyze(user)
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    assert len(comprehend.requests[operation]) == 1, "the same text is not sent again"


def test_a_busy_comprehend_is_asked_three_times_and_then_the_caller_may_try_again(
    user: ApiClient, comprehend: Recorded
) -> None:
    comprehend.errors["DetectEntities"] = ("ThrottlingException", 400)
    answer = analyze(user)
    assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "unavailable", "2")
    assert len(comprehend.requests["DetectEntities"]) == 3


@pytest.mark.parametrize(
    ("code", "status"), [("AccessDeniedException", 400), ("InternalServerException", 500), ("Unheard", 400)]
)
def test_what_is_wrong_with_the_service_is_answered_503_and_logged(
    code: str, status: int, user: ApiClient, comprehend: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    comprehend.errors["DetectKeyPhrases"] = (code, status)
    answer = analyze(user)
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert code in answer.body["detail"]
    (line,) = (vars(record) for record in caplog.records if record.message == "comprehend failed")
    assert (line["operation"], line["error"]) == ("DetectKeyPhrases", code)


def test_a_region_that_does_not_answer_is_503(
    user: ApiClient, comprehend: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_COMPREHEND", "http://127.0.0.1:9")
    answer = analyze(user)
    assert (answer.status, answer.body["code"]) == (503, "unavailable")


def test_who_has_no_token_is_not_served(user: ApiClient, comprehend: Recorded) -> None:
    assert user.call("POST", "/analyze", {"text": TEXT}, claims={}).status == 401
    assert comprehend.requests == {}
