"""Three questions to Amazon Comprehend about one text, asked at once."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lambdas.common import aws
from lambdas.common.environment import optional, variable
from lambdas.common.errors import BadRequest, SlipwayError, Unavailable
from lambdas.common.observability import logger
from lambdas.text.schemas import (
    LANGUAGES,
    MAX_TEXT_BYTES,
    Analysis,
    AnalyzeRequest,
    KeyPhrase,
    Sentiment,
    SentimentScores,
    TextEntity,
)  # fmt: skip

OPERATIONS = {  # Comprehend's operation -> boto3's name of it
    "DetectSentiment": "detect_sentiment",
    "DetectEntities": "detect_entities",
    "DetectKeyPhrases": "detect_key_phrases",
}
BUSY = {"ThrottlingException", "TooManyRequestsException", "ServiceUnavailable", "SlowDown"}
BUSY_SECONDS = 2
NOT_OURS_TO_MEND = {
    "TextSizeLimitExceededException": "Amazon Comprehend finds the text too long; send it in parts.",
    "UnsupportedLanguageException": "Amazon Comprehend does not take this language in the stage's region.",
    "InvalidRequestException": "Amazon Comprehend finds the text not valid; send plain text in the language named.",
}


def analyze(text: str, language: str) -> tuple[Analysis, dict[str, float]]:
    """Return what is in a text, and the seconds that each operation took; raises BadRequest and Unavailable."""
    check(text, language)
    answers, seconds = asked(request_of(text, language))
    return analysis_of(answers, variable("TEXT_MODEL_VERSION")), seconds


def check(text: str, language: str) -> None:
    """Raise BadRequest for a text or a language that cannot be analysed, saying what to send instead."""
    if language not in LANGUAGES:
        raise refused("language", f"must be one of {', '.join(LANGUAGES)}")
    if not text.strip():
        raise refused("text", "must have something in it besides white space")
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        limit = f"at most {MAX_TEXT_BYTES:,} can be analysed at once"
        raise refused("text", f"has {size:,} bytes of UTF-8, and {limit}: send it in parts, cut between sentences")


def refused(field: str, message: str) -> BadRequest:
    """Return the refusal of one field, which the sentence and the list of errors name alike."""
    return BadRequest(f"The {field} {message}.", errors=[{"field": field, "message": message}])


def request_of(text: str, language: str) -> dict[str, str]:
    """Return the request, which is the same to all three operations."""
    return {"Text": text, "LanguageCode": language}


def asked(request: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Ask all three at the same time; return answers and seconds by operation. Raises the first error there is."""
    from botocore.exceptions import BotoCoreError, ClientError  # with boto3, which the first request loads

    comprehend = aws.client("comprehend", optional("COMPREHEND_REGION"))

    def timed(operation: str) -> tuple[dict[str, Any], float]:
        started = time.perf_counter()
        try:
            return getattr(comprehend, OPERATIONS[operation])(**request), time.perf_counter() - started
        except (ClientError, BotoCoreError) as error:
            raise error_of(operation, error) from error

    with ThreadPoolExecutor(len(OPERATIONS)) as pool:
        found = dict(zip(OPERATIONS, pool.map(timed, OPERATIONS), strict=True))
    return {name: answer for name, (answer, _) in found.items()}, {
        name: round(seconds, 4) for name, (_, seconds) in found.items()
    }


def error_of(operation: str, error: Exception) -> SlipwayError:
    """Return what a failed call means to the caller: a text that cannot be analysed, or a service that does not."""
    code = aws.error_code(error) or type(error).__name__
    if code in NOT_OURS_TO_MEND:
        return BadRequest(NOT_OURS_TO_MEND[code])
    if code in BUSY:
        return Unavailable("Amazon Comprehend is busy; try again in a moment.", retry_after=BUSY_SECONDS)
    logger.error("comprehend failed", extra={"operation": operation, "error": code})
    return Unavailable(
        f"Amazon Comprehend did not answer ({code}); if it stays so, report the request_id to your platform's admin."
    )


def analysis_of(answers: Mapping[str, Mapping[str, Any]], model_version: str) -> Analysis:
    """Return Comprehend's three answers as ours."""
    sentiment = answers["DetectSentiment"]
    return Analysis(
        sentiment=Sentiment(
            sentiment=sentiment["Sentiment"], scores=SentimentScores.model_validate(sentiment["SentimentScore"])
        ),
        entities=[
            TextEntity(text=entity["Text"], type=entity["Type"], score=entity["Score"])
            for entity in answers["DetectEntities"]["Entities"]
        ],
        key_phrases=[
            KeyPhrase(text=phrase["Text"], score=phrase["Score"])
            for phrase in answers["DetectKeyPhrases"]["KeyPhrases"]
        ],
        model_version=model_version,
    )


def facts(wanted: AnalyzeRequest, analysis: Analysis, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return what the access log says of an analysis: figures, and nothing of the text."""
    name = analysis.sentiment.sentiment
    return {
        "analysis": {
            "language": wanted.language,
            "text_length": len(wanted.text),
            "sentiment": name,
            "confidence": getattr(analysis.sentiment.scores, name.capitalize()),
            "entities": len(analysis.entities),
            "comprehend_seconds": dict(seconds),
        }
    }
