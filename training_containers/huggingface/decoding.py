"""Text token by token: how the next token is drawn, and when what has been drawn may be shown."""

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers.decoders import DecodeStream
from transformers import (
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)


@dataclass(frozen=True)
class Sampling:
    """How a text is generated. Temperature 0 always takes the likeliest token."""

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


def drawn(model: Any, prompt: torch.Tensor, sampling: Sampling, ends: frozenset[int]) -> Iterator[int]:
    """Yield tokens that go on from a prompt of one row, the one that ends the text included.

    The caller may stop between any two: nothing of PyTorch's modes is left switched on meanwhile.
    """
    change, weigh = processors(sampling)
    randomness = torch.Generator(prompt.device).manual_seed(sampling.seed)
    seen, unread, cache = prompt, prompt, None
    for count in range(sampling.max_tokens):
        with torch.inference_mode():
            output = model(input_ids=unread, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            scores = change(seen, output.logits[:, -1].float())  # pyright: ignore[reportArgumentType]
            if count < sampling.min_tokens:
                scores[:, list(ends)] = -torch.inf
            if sampling.temperature:
                likely = torch.softmax(weigh(seen, scores), dim=-1)  # pyright: ignore[reportArgumentType]
                unread = torch.multinomial(likely, 1, generator=randomness)
            else:
                unread = scores.argmax(dim=-1, keepdim=True)
            seen = torch.cat([seen, unread], dim=1)
            token = int(unread)
        yield token
        if token in ends:
            return


def processors(sampling: Sampling) -> tuple[LogitsProcessorList, LogitsProcessorList]:
    """Return what changes the scores of all tokens, and what comes after it when tokens are drawn by chance."""
    change, weigh = LogitsProcessorList(), LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        change.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.temperature:
        weigh.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_p < 1.0:
        weigh.append(TopPLogitsWarper(sampling.top_p))
    return change, weigh


class Generation:
    """One text in the making. Iterate over its pieces once; how it went is known in the end, and in the log."""

    def __init__(
        self, id: str, model: Any, tokenizer: PreTrainedTokenizerBase, prompt: torch.Tensor, sampling: Sampling
    ) -> None:
        self.id = id
        self.prompt_tokens = prompt.shape[1]
        self.tokens = 0
        self.finish_reason = "cancelled"  # unless it gets to its end
        self._ends = end_tokens(model)
        self._drawn = drawn(model, prompt, sampling, self._ends)
        self._decoder = Decoder(tokenizer, sampling.stop)

    def pieces(self) -> Generator[str]:
        """Yield the text as it becomes certain, which is after most tokens; none of the pieces is empty."""
        try:
            for token in self._drawn:
                self.tokens += 1
                if token in self._ends:
                    self.finish_reason = "stop"
                    break
                if piece := self._decoder.piece(token):
                    yield piece
                if self._decoder.stopped:
                    self.finish_reason = "stop"
                    return
            else:
                self.finish_reason = "length"
            if rest := self._decoder.rest():
                yield rest
        finally:
            # What was generated for whom is theirs; how much of it there was belongs in the endpoint's log.
            record = {"id": self.id, "finish_reason": self.finish_reason, **self.usage}
            print(json.dumps({"generation": record}), flush=True)

    @property
    def usage(self) -> dict[str, int]:
        """How much was read and written so far."""
        total = self.prompt_tokens + self.tokens
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.tokens, "total_tokens": total}


class Decoder:
    """Tokens to text, holding back half a character and what may become a stop string."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self.stopped = False
        self._tokenizer, self._stop = tokenizer.backend_tokenizer, stop
        self._stream = DecodeStream(skip_special_tokens=True)
        self._held = ""

    def piece(self, token: int) -> str:
        """Return what can be shown once this token has come; "" where that is nothing."""
        text = self._held + (self._stream.step(self._tokenizer, token) or "")
        if found := [at for at in map(text.find, self._stop) if at >= 0]:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        certain = len(text) - beginning_at_the_end(text, self._stop)
        self._held = text[certain:]
        return text[:certain]

    def rest(self) -> str:
        """Return what was held back, once no token comes any more."""
        held, self._held = self._held, ""
        return held


def beginning_at_the_end(text: str, stop: tuple[str, ...]) -> int:
    """Return how many of the last characters are the beginning of a stop string."""
    for length in range(min(len(text), max(map(len, stop), default=1) - 1), 0, -1):
        if any(each.startswith(text[-length:]) for each in stop):
            return length
    return 0


def end_tokens(model: Any) -> frozenset[int]:
    """Return the tokens that end a text."""
    ends = model.generation_config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])
