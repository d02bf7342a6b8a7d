"""What text analysis takes and answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Those that all three operations take (Amazon Comprehend, "Languages supported in Amazon Comprehend").
LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "ar", "hi", "ja", "ko", "zh", "zh-TW")
MAX_TEXT_BYTES = 5_000  # DetectSentiment's limit; the other two take more (Amazon Comprehend, "Guidelines and quotas")

SentimentName = Literal["POSITIVE", "NEGATIVE", "NEUTRAL", "MIXED"]
Score = Annotated[float, Field(description="How sure the model is, 0 to 1.")]


class AnalyzeRequest(BaseModel):
    """A text in one of the languages that can be analysed."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description=f"At most {MAX_TEXT_BYTES:,} bytes of UTF-8.")
    # The service judges it, so that the sentence of the error lists them.
    language: str = Field(default="en", json_schema_extra={"enum": list(LANGUAGES)})


class SentimentScores(BaseModel):
    """How much of each sentiment is in the text; together they are 1."""

    Positive: float
    Negative: float
    Neutral: float
    Mixed: float


class Sentiment(BaseModel):
    """The prevailing sentiment, and all scores."""

    sentiment: SentimentName
    scores: SentimentScores


class TextEntity(BaseModel):
    """Something that the text names: a person, a place, an organization, a date."""

    text: str
    type: str = Field(description="Comprehend's type: PERSON, LOCATION, ORGANIZATION, COMMERCIAL_ITEM, EVENT, DATE ...")
    score: Score


class KeyPhrase(BaseModel):
    """A phrase that says what the text is about."""

    text: str
    score: Score


class Analysis(BaseModel):
    """What was found in a text."""

    model_config = ConfigDict(protected_namespaces=())

    sentiment: Sentiment
    entities: list[TextEntity]
    key_phrases: list[KeyPhrase]
    model_version: str = Field(description="What analysed the text.")
