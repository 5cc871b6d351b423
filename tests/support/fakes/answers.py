"""What a vLLM engine writes when it answers: whole, or event by event."""

import json
from collections.abc import Iterator, Sequence
from typing import Any


def stream_events(path: str, model: str, token: str, tokens: int) -> Iterator[bytes]:
    """Yield the events of a stream as vLLM writes them, without the last one."""
    is_chat = path.endswith("/chat/completions")
    base = {"id": "cmpl-1", "object": "chat.completion.chunk" if is_chat else "text_completion", "created": 1}
    for number in range(tokens + is_chat):
        finish = "length" if number == tokens + is_chat - 1 else None
        delta = {"content": token} if number else {"role": "assistant", "content": ""}
        choice: dict[str, Any] = {"index": 0, "delta": delta} if is_chat else {"index": 0, "text": token}
        yield data_event({**base, "model": model, "choices": [{**choice, "logprobs": None, "finish_reason": finish}]})


def delta_events(model: str, deltas: Sequence[dict[str, Any]]) -> Iterator[bytes]:
    """Yield a chat's events with these deltas, then the usage, as vLLM does when it is asked for."""
    base = {"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for delta in deltas:
        yield data_event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield usage_event(model, len(deltas))


def usage_event(model: str, tokens: int) -> bytes:
    """The event that tells how many tokens there were, for those who ask for it."""
    usage = {"prompt_tokens": 1, "completion_tokens": tokens}
    return data_event({"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
                       "choices": [], "usage": usage})  # fmt: skip


def whole_answer(path: str, model: str, token: str, tokens: int, *, best: int = 0) -> dict[str, Any]:
    """Return an answer that is not streamed, in a chat with so many of the likeliest tokens in each place."""
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    base = {"id": "cmpl-1", "created": 1, "model": model, "usage": usage}
    if path.endswith("/embeddings"):
        return {**base, "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}]}
    text = token * tokens
    if path.endswith("/chat/completions"):
        ranked = [{"token": token if place == 0 else "?", "logprob": -0.5 - place} for place in range(best)]
        logprobs = {"content": [{**ranked[0], "top_logprobs": ranked}] * tokens} if ranked else None
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": logprobs}
        return {**base, "object": "chat.completion", "choices": [{**choice, "finish_reason": "length"}]}
    return {**base, "object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": "length"}]}


def data_event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
