"""Text analysis as its users' document describes it: GET /health, POST /analyze and GET /metrics, field by field.

Run: python -m pytest tests/journeys/test_text_analysis.py
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from lambdas.text.schemas import LANGUAGES, MAX_TEXT_BYTES
from local.api_client import ApiClient
from local.comprehend.lexicon import MODEL_VERSION
from tests import aws_requests
from tests.api.metrics import Samples, types
from tests.comprehend import running_comprehend
from tests.journeys.conftest import PASSWORD, configured
from tests.journeys.documents import Check, Said, follow, reader_folder, text_of
from tests.journeys.requests_sent import access_token, counted, metrics, settled
from tests.local.small import eventually
from tests.platform import Platform

DOCUMENT = "text-analysis.md"
TEXT = "AWS offers a great service. Jane Smith met us in Paris on March 12, 2024!"
SENTIMENTS = {"POSITIVE", "NEGATIVE", "NEUTRAL", "MIXED"}
METRICS = {
    "request_count": "counter",
    "request_latency_seconds": "histogram",
    "error_count": "counter",
    "sentiment_count": "counter",
    "active_requests": "gauge",
    "text_length": "histogram",
    "comprehend_latency_seconds": "histogram",
    "sentiment_confidence": "histogram",
    "entities_per_text": "histogram",
}
OPERATIONS = {"DetectSentiment", "DetectEntities", "DetectKeyPhrases"}


def analyze(api: ApiClient, body: Any) -> requests.Response:
    return api.request("POST", "/analyze", json=body)


def analysed(api: ApiClient, text: str, **others: str) -> dict[str, Any]:
    answer = analyze(api, {"text": text, **others})
    assert answer.status_code == 200, answer.text
    return answer.json()


# ------------------------------------------------------------------------------------------ the users' document


def test_health_says_that_it_is_healthy(platform: Platform) -> None:
    answer = requests.get(f"{platform.api_url}/health", timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


def test_an_analysis_has_every_field_and_type_of_the_document(member: ApiClient) -> None:
    found = analysed(member, TEXT, language="en")
    assert set(found) == {"sentiment", "entities", "key_phrases", "model_version"}
    assert set(found["sentiment"]) == {"sentiment", "scores"}
    assert found["sentiment"]["sentiment"] in SENTIMENTS
    scores = found["sentiment"]["scores"]
    assert set(scores) == {"Positive", "Negative", "Neutral", "Mixed"}
    assert all(type(score) is float and 0 <= score <= 1 for score in scores.values())
    assert sum(scores.values()) == pytest.approx(1)
    assert scores[found["sentiment"]["sentiment"].capitalize()] == max(scores.values())
    for entity in found["entities"]:
        assert set(entity) == {"text", "type", "score"}
        assert entity["text"] in TEXT and type(entity["type"]) is str and 0 < entity["score"] <= 1
    for phrase in found["key_phrases"]:
        assert set(phrase) == {"text", "score"}
        assert phrase["text"] in TEXT and 0 < phrase["score"] <= 1
    assert type(found["model_version"]) is str


def test_what_the_document_shows_is_found_in_its_text(member: ApiClient) -> None:
    found = analysed(member, TEXT)
    assert found["sentiment"]["sentiment"] == "POSITIVE"
    named = {(entity["text"], entity["type"]) for entity in found["entities"]}
    assert named >= {("AWS", "ORGANIZATION"), ("Jane Smith", "PERSON"), ("Paris", "LOCATION")}
    assert "great service" in [phrase["text"] for phrase in found["key_phrases"]]


def test_the_metrics_have_the_documents_names_and_their_types(platform: Platform) -> None:
    page = requests.get(
        f"{platform.api_url}/metrics", headers={"Authorization": f"Bearer {access_token(platform)}"}, timeout=60
    )
    assert page.headers["Content-Type"].startswith("text/plain")
    found = types(page.text)
    assert {name: found.get(name) for name in METRICS} == METRICS


def test_an_analysis_and_its_refusal_move_every_metric_of_the_document(platform: Platform, member: ApiClient) -> None:
    token = access_token(platform)

    def moved() -> Samples:
        now = metrics(platform, token)
        return {sample: now[sample] - before.get(sample, 0) for sample in now}

    settled(lambda: counted(platform, token, ["/analyze"]))  # lines of tests before may still be on their way
    before = metrics(platform, token)
    found = analysed(member, TEXT)
    assert analyze(member, {"text": ""}).status_code == 400
    sentiment = ("sentiment", found["sentiment"]["sentiment"])
    route = ("method", "POST"), ("route", "/analyze")
    wanted: Samples = {
        ("request_count_total", *route, ("status", "2xx")): 1,
        ("request_count_total", *route, ("status", "4xx")): 1,
        ("request_latency_seconds_count", *route): 2,
        ("sentiment_count_total", sentiment): 1,
        ("text_length_sum",): len(TEXT),
        ("text_length_count",): 1,
        ("sentiment_confidence_count", sentiment): 1,
        ("entities_per_text_sum",): len(found["entities"]),
        ("entities_per_text_count",): 1,
        **{("comprehend_latency_seconds_count", ("operation", operation)): 1 for operation in OPERATIONS},
    }
    assert eventually(lambda: {sample: moved().get(sample) for sample in wanted} == wanted, 60)
    assert moved()["error_count_total", ("type", "bad_request")] >= 1  # of every route, also of tests before
    assert ("active_requests",) in moved()


def test_the_language_is_english_unless_another_is_named(member: ApiClient) -> None:
    french = "Le repas était délicieux."
    assert analysed(member, TEXT) == analysed(member, TEXT, language="en")
    assert analysed(member, french, language="fr")["sentiment"]["sentiment"] == "POSITIVE"
    assert analysed(member, french)["sentiment"]["sentiment"] == "NEUTRAL", "in English these words say nothing"


@pytest.mark.parametrize("language", LANGUAGES)
def test_twelve_languages_are_taken(language: str, member: ApiClient) -> None:
    assert analysed(member, "2024-03-12", language=language)["entities"][0]["type"] == "DATE"


def test_here_the_stand_in_analyses_and_says_so(member: ApiClient) -> None:
    assert analysed(member, TEXT)["model_version"] == MODEL_VERSION
    assert "comprehend" not in MODEL_VERSION


# ------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"text": ""}, "text", "white space"),
        ({"text": " \n "}, "text", "white space"),
        ({}, "text", "text"),
        ({"text": 5}, "text", "text"),
        ({"text": "x", "language": "tlh"}, "language", ", ".join(LANGUAGES)),
        ({"text": "x", "languages": "en"}, "languages", "languages"),
        ({"text": "é" * 2501}, "text", "5,002 bytes"),
        ({"text": "\ud800"}, "text", "half a character"),
    ],
)
def test_a_request_that_cannot_be_analysed_is_400_and_says_what_to_mend(
    body: Any, field: str, words: str, member: ApiClient
) -> None:
    answer = analyze(member, body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "code", "request_id", "errors"}
    assert (answer.json()["code"], answer.json()["errors"][0]["field"]) == ("bad_request", field)
    assert words in answer.json()["detail"]


def test_a_text_at_the_limit_is_analysed(member: ApiClient) -> None:
    assert analysed(member, "good " * (MAX_TEXT_BYTES // 5))["sentiment"]["sentiment"] == "POSITIVE"


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        ("TextSizeLimitExceededException", 400, None),
        ("UnsupportedLanguageException", 400, None),
        ("InvalidRequestException", 400, None),
        ("ThrottlingException", 503, "2"),
        ("AccessDeniedException", 503, None),
    ],
)
def test_comprehends_own_errors_are_told_apart(
    error: str, status: int, retry_after: str | None, platform: Platform, member: ApiClient
) -> None:
    platform.faults(service="comprehend", operation="DetectKeyPhrases", error=error)
    try:
        answer = analyze(member, {"text": TEXT})
    finally:
        platform.faults()
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after), answer.text
    assert analyze(member, {"text": TEXT}).status_code == 200


def test_one_throttled_call_is_made_again(platform: Platform, member: ApiClient) -> None:
    platform.faults(service="comprehend", operation="DetectEntities", error="ThrottlingException", calls=[1])
    try:
        assert analyze(member, {"text": TEXT}).status_code == 200
    finally:
        platform.faults()


def test_a_viewer_may_analyse_and_nobody_without_a_token(
    platform: Platform, new_user: Callable[..., ApiClient]
) -> None:
    assert analysed(new_user("viewer"), TEXT)["sentiment"]
    assert requests.post(f"{platform.api_url}/analyze", json={"text": TEXT}, timeout=10).status_code == 401


# ------------------------------------------------------------------------------------------- what is asked of AWS


def test_the_deployed_function_asks_all_three_at_once_in_requests_of_comprehends_model(
    platform: Platform, member: ApiClient
) -> None:
    with running_comprehend() as comprehend, configured(platform, "text", AWS_ENDPOINT_URL_COMPREHEND=comprehend.url):
        comprehend.all_must_meet(3)  # no call is answered before all three are under way
        analysed(member, TEXT, language="en")
    assert comprehend.met == 3
    assert set(comprehend.requests) == OPERATIONS
    for operation, (request,) in comprehend.requests.items():
        assert aws_requests.faults("comprehend", operation, request) == []


def test_the_stand_in_is_reached_under_the_functions_role_only(platform: Platform) -> None:
    comprehend = platform.client("comprehend", {"access_key_id": "AKIANOBODY0000000000", "secret_access_key": "x"})
    with pytest.raises(comprehend.exceptions.ClientError):
        comprehend.detect_sentiment(Text=TEXT, LanguageCode="en")
    answer = platform.client("comprehend").detect_sentiment(Text=TEXT, LanguageCode="en")
    assert answer["Sentiment"] == "POSITIVE"


def test_nothing_of_a_text_is_in_the_platforms_log(platform: Platform, member: ApiClient) -> None:
    word = "Quetzalcoatlus"
    request_id = analyze(member, {"text": f"The {word} is wonderful."}).headers.get("x-amzn-RequestId")
    analyze(member, {"text": word * 400})
    logs = platform.client("logs")
    lines = [
        event["message"]
        for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
        for event in logs.filter_log_events(logGroupName=group["logGroupName"], filterPattern=word)["events"]
    ]
    assert lines == [], request_id
    assert word.encode() not in platform.files.log.read_bytes()


# ----------------------------------------------------------------------------------------------- the document


def logged_in(said: Said) -> None:
    assert said.text == ""


def shown(said: Said) -> None:
    assert said.json["sentiment"]["sentiment"] == "POSITIVE"
    assert said.json["model_version"] == MODEL_VERSION


def in_french(said: Said) -> None:
    assert said.text.split() == ["NEGATIVE"]


def in_parts(said: Said) -> None:
    counted = dict(line.split() for line in said.text.splitlines())
    assert sum(map(int, counted.values())) > 1 and set(counted) <= SENTIMENTS


CHECKS: list[Check] = [logged_in, shown, in_french, in_parts]


def test_every_command_does_what_the_document_says(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    user = ApiClient(platform.api_url)
    user.register("user9", "user9@example.com", PASSWORD)
    review = "The rooms were clean and the staff was friendly. The breakfast was cold. " * 120
    files = {"review.txt": review.encode()}
    follow(DOCUMENT, CHECKS, platform, user, reader_folder(Path(tmp_path_factory.mktemp("text")), files))


def test_the_document_names_every_language_error_and_setting() -> None:
    named = set(re.findall(r"`([\w.-]+)`", text_of(DOCUMENT)))
    assert {*LANGUAGES, *SENTIMENTS, *OPERATIONS, "comprehend_region", MODEL_VERSION} <= named
