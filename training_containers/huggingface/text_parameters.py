"""How a request may say that texts are to be generated."""

from dataclasses import dataclass
from typing import Any

from training_containers.common.batching import BadRequest
from training_containers.common.contract import TrainingError
from training_containers.common.parameters import parameter, parse
from training_containers.huggingface.decoding import Sampling

MOST_TOKENS = 16_384  # of an answer
MOST_STOPS = 16


@dataclass(frozen=True)
class TextParameters:
    """What may be set."""

    max_new_tokens: int = parameter("Tokens after which a text ends, finished or not.", 128, 1, MOST_TOKENS)
    min_tokens: int = parameter("Tokens before which it does not end.", 0, 0, MOST_TOKENS)
    temperature: float = parameter("How freely words are drawn. 0 = always the likeliest.", 0.0, 0.0, 10.0)
    top_p: float = parameter("Draw from the likeliest words that together have this probability.", 1.0, 0.01, 1.0)
    repetition_penalty: float = parameter("Above 1, words that are there already become less likely.", 1.0, 0.01, 10.0)
    seed: int = parameter("Same seed, same text.", 0, 0, 2**31 - 1)


def sampling_of(given: dict[str, Any], stop: Any) -> Sampling:
    """Return how to generate; raises BadRequest naming every fault."""
    parameters = checked(TextParameters, given)
    return Sampling(
        max_tokens=parameters.max_new_tokens,
        min_tokens=parameters.min_tokens,
        temperature=parameters.temperature,
        top_p=parameters.top_p,
        repetition_penalty=parameters.repetition_penalty,
        seed=parameters.seed,
        stop=stops(stop),
    )


def stops(given: Any) -> tuple[str, ...]:
    """Return the texts before which a text ends; raises BadRequest."""
    found = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(found, list) or len(found) > MOST_STOPS or not all(isinstance(s, str) and s for s in found):
        raise BadRequest(f"stop must be a text, or a list of at most {MOST_STOPS} texts.")
    return tuple(found)


def checked(type: type, parameters: dict[str, Any]) -> Any:
    """Return a request's parameters as their dataclass; raises BadRequest naming every fault."""
    try:
        return parse(type, parameters)
    except TrainingError as error:
        raise BadRequest(str(error)) from error
