"""The question that every engine is asked before it counts as ready, and what its answer proves.

An engine computes with whatever its weights are. NaN everywhere makes vLLM 0.32 choose token 0, which is "!" to half of
all tokenizers, so text alone proves nothing: the probabilities do. Asked for them, it refuses NaN with 400, for JSON
has no such number. Weights that are all zero, as those of a missing shard often are, make every token equally likely.
"""

import json
import math
from typing import Any

TOKENS = 8
"""Enough for a character of several tokens, or for the mark that opens a chain of thought."""
QUESTION = {
    "messages": [{"role": "user", "content": "Reply with one word."}],
    "max_tokens": TOKENS,
    "min_tokens": TOKENS,  # masks the tokens that end an answer: a sound model may end at once
    "temperature": 0,
    "logprobs": True,
    "top_logprobs": 2,
}
NAN_REFUSED = "Out of range float values are not JSON compliant"
ADVICE = (
    "the checkpoint is not whole, or its numbers overflow. Compare its files by `fab models-pull --verify`, or try "
    "another dtype"
)
NAN = f"NaN where probabilities belong: {ADVICE}"


def words_of(body: bytes) -> str:
    """What an answer says, its chain of thought included; raises ValueError where that is no answer to a chat."""
    message = _choice(body)["message"]
    return (message.get("reasoning") or "") + (message.get("content") or "")


def problem_of(status: int, body: bytes) -> str | None:
    """Say why an answer to QUESTION does not prove that its engine works; None if it does."""
    if NAN_REFUSED.encode() in body:
        return NAN
    try:
        words, ranked = words_of(body), [_probabilities(token) for token in _choice(body)["logprobs"]["content"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"it answers a prompt with {status}: {body[:300].decode(errors='replace')}"
    if not all(math.isfinite(each) for token in ranked for each in token):
        return NAN
    if not is_printable(words):
        return f"nothing that can be read in {len(ranked)} tokens, only {words!r}: {ADVICE}"
    # Two equal ones are a chance of rounding, in each place they are not.
    if all(len(token) > 2 and token[1] == token[2] for token in ranked):
        return f"{words!r}, any other token being as likely: {ADVICE}"
    return None


def is_printable(text: str) -> bool:
    """Whether a person sees something. U+FFFD is what is shown of a character that is not whole."""
    return any(each.isprintable() and not each.isspace() and each != "\N{REPLACEMENT CHARACTER}" for each in text)


def _choice(body: bytes) -> Any:
    try:
        return json.loads(body)["choices"][0]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"no answer: {error!r}") from None


def _probabilities(token: Any) -> list[float]:
    """The logarithms for the chosen token and the two best ones; null is how other writers of JSON tell NaN."""
    told = [token["logprob"], *(best["logprob"] for best in token["top_logprobs"])]
    return [math.nan if each is None else float(each) for each in told]
