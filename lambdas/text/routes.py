"""Text analysis over HTTP."""

from fastapi import APIRouter, Request

from lambdas.common.dependencies import Caller
from lambdas.text import service
from lambdas.text.schemas import Analysis, AnalyzeRequest

router = APIRouter(tags=["text"])


@router.post("/analyze")
def analyze_text(caller: Caller, wanted: AnalyzeRequest, request: Request) -> Analysis:
    """Analyse a text: its sentiment, what it names, what it is about. Nothing of it is kept or logged."""
    analysis, seconds = service.analyze(wanted.text, wanted.language)
    request.state.facts = service.facts(wanted, analysis, seconds)
    return analysis
