"""Amazon Comprehend's API for one text at a time: DetectSentiment, DetectEntities, DetectKeyPhrases.

Requests are judged by botocore's model of the service and by its documented limits ("Guidelines and quotas").
"""

import logging
from collections.abc import Callable
from typing import Any

from local.comprehend.entities import entities
from local.comprehend.phrases import key_phrases
from local.comprehend.sentiment import prevailing, scores
from local.sagemaker.protocol import (
    Response,
    ServiceError,
    error_response,
    invalid,
    json_response,
    not_implemented,
    parsed,
    problems,
    service_model,
)  # fmt: skip

logger = logging.getLogger(__name__)
TARGET = "Comprehend_20171127."
LIMITS = {  # bytes of UTF-8: 5 KB and 100 KB, as Comprehend counts them
    "DetectSentiment": 5_000,
    "DetectEntities": 100_000,
    "DetectKeyPhrases": 100_000,
}


class Comprehend:
    """Answers by word lists and rules; keeps nothing."""

    def __init__(self) -> None:
        self._model = service_model("comprehend")
        self._operations: dict[str, Callable[[str, str], dict[str, Any]]] = {
            "DetectSentiment": detect_sentiment,
            "DetectEntities": lambda text, language: {"Entities": entities(text, language)},
            "DetectKeyPhrases": lambda text, language: {"KeyPhrases": key_phrases(text, language)},
        }

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer one HTTP request of the Comprehend API; header names are lower case."""
        operation = headers.get("x-amz-target", "").removeprefix(TARGET)
        try:
            return json_response(self.call(operation, parsed(body)))
        except ServiceError as error:
            return error_response(error)
        except Exception as error:
            logger.exception("%s", operation)  # the text is not in it
            return error_response(ServiceError("InternalServerException", type(error).__name__, 500))

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of one operation. Raises ServiceError."""
        answer = self._operations.get(operation)
        if answer is None:
            raise not_implemented(f"Comprehend's operation {operation or '(none given)'}")
        if found := problems(self._model.operation_model(operation).input_shape, request):
            raise invalid(" ".join(found))
        if {"EndpointArn", "Bytes", "DocumentReaderConfig"} & request.keys():
            raise not_implemented("A custom recognizer, or a document that is not plain text,")
        missing = {"Text", "LanguageCode"} - request.keys()
        if missing:  # DetectEntities' model requires neither, because of the documents and recognizers above
            raise ServiceError("InvalidRequestException", f"{' and '.join(sorted(missing))} must be given.")
        size = len(request["Text"].encode("utf-8", "surrogatepass"))
        if size > LIMITS[operation]:
            message = f"Input text size exceeds limit. Max length of request text allowed is {LIMITS[operation]} bytes"
            raise ServiceError("TextSizeLimitExceededException", f"{message} while in this request it is {size} bytes")
        return answer(request["Text"], request["LanguageCode"])


def detect_sentiment(text: str, language: str) -> dict[str, Any]:
    """Return the prevailing sentiment and all scores."""
    found = scores(text, language)
    return {"Sentiment": prevailing(found), "SentimentScore": found}
