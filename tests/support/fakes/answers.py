"""What a vLLM engine writes when it answers: whole, or event by event."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

MESSAGES = "/v1/messages"
CALL_ID = "chatcmpl-tool-1"


def stream_events(path: str, model: str, token: str, tokens: int) -> Iterator[bytes]:
    """Yield the events of a stream as vLLM writes them, without the last one."""
    if path == "/v1/responses":
        yield from _response_events(model, token, tokens)
        return
    if path == MESSAGES:
        yield from message_events(model, [{"type": "text", "text": [token] * tokens}], "max_tokens", tokens)
        return
    is_chat = path.endswith("/chat/completions")
    base = {"id": "cmpl-1", "object": "chat.completion.chunk" if is_chat else "text_completion", "created": 1}
    for number in range(tokens + is_chat):
        finish = "length" if number == tokens + is_chat - 1 else None
        delta = {"content": token} if number else {"role": "assistant", "content": ""}
        choice: dict[str, Any] = {"index": 0, "delta": delta} if is_chat else {"index": 0, "text": token}
        yield data_event({**base, "model": model, "choices": [{**choice, "logprobs": None, "finish_reason": finish}]})


def message_events(model: str, blocks: Sequence[dict[str, Any]], stop_reason: str, tokens: int) -> Iterator[bytes]:
    """Yield one of Anthropic's messages as vLLM streams it, without the last event.

    A block's text, or a tool's input as JSON, is a list of the pieces in which it comes.
    """
    message = message_of(model, [], None, 0)
    yield named_event({"type": "message_start", "message": message})
    for index, block in enumerate(blocks):
        is_text = block["type"] == "text"
        empty: dict[str, Any] = {"text": ""} if is_text else {"input": {}}
        yield named_event({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        for piece in block["text" if is_text else "input"]:
            delta = {"type": "text_delta", "text": piece} if is_text else _json_delta(piece)
            yield named_event({"type": "content_block_delta", "index": index, "delta": delta})
        yield named_event({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    yield named_event({"type": "message_delta", "delta": delta, "usage": message_of(model, [], None, tokens)["usage"]})


def _json_delta(piece: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


def message_of(model: str, content: Sequence[dict[str, Any]], stop_reason: str | None, tokens: int) -> dict[str, Any]:
    """Return one of Anthropic's messages, whole."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": list(content),
        "model": model,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": tokens},
    }


def call_events(path: str, model: str, name: str, arguments: str) -> Iterator[bytes]:
    """Yield the events of an answer that is one call of a tool, whose arguments come in two pieces."""
    halves = [arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]]
    if path == MESSAGES:
        block = {"type": "tool_use", "id": CALL_ID, "name": name, "input": halves}
        yield from message_events(model, [block], "tool_use", len(halves))
        return
    first = {"id": CALL_ID, "type": "function", "index": 0, "function": {"name": name, "arguments": halves[0]}}
    yield from delta_events(model, [{"role": "assistant", "content": ""}, {"tool_calls": [first]}])
    rest = {"tool_calls": [{"index": 0, "function": {"arguments": halves[1]}}]}
    yield from delta_events(model, [rest], finish="tool_calls")


def whole_call(path: str, model: str, name: str, arguments: str) -> dict[str, Any]:
    """Return the same, not streamed."""
    if path == MESSAGES:
        block = {"type": "tool_use", "id": CALL_ID, "name": name, "input": json.loads(arguments)}
        return message_of(model, [block], "tool_use", 2)
    answer = whole_answer(path, model, "", 2)
    call = {"id": CALL_ID, "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    answer["choices"][0] |= {"message": message, "finish_reason": "tool_calls"}
    return answer


def delta_events(model: str, deltas: Sequence[dict[str, Any]], *, finish: str | None = None) -> Iterator[bytes]:
    """Yield a chat's events with these deltas, without the last one; the last of them says why it ended."""
    base = {"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for number, delta in enumerate(deltas, start=1):
        reason = finish if number == len(deltas) else None
        yield data_event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def whole_answer(path: str, model: str, token: str, tokens: int, *, best: int = 0) -> dict[str, Any]:
    """Return an answer that is not streamed, in a chat with so many of the likeliest tokens in each place."""
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    base = {"id": "cmpl-1", "created": 1, "model": model, "usage": usage}
    if path.endswith("/embeddings"):
        return {**base, "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}]}
    text = token * tokens
    if path == MESSAGES:
        return message_of(model, [{"type": "text", "text": text}], "max_tokens", tokens)
    if path == "/v1/responses":
        return {**base, "id": f"resp_{model}", "object": "response", "status": "completed", "output": []}
    if path.endswith("/chat/completions"):
        ranked = [{"token": token if place == 0 else "?", "logprob": -0.5 - place} for place in range(best)]
        logprobs = {"content": [{**ranked[0], "top_logprobs": ranked}] * tokens} if ranked else None
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": logprobs}
        return {**base, "object": "chat.completion", "choices": [{**choice, "finish_reason": "length"}]}
    return {**base, "object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": "length"}]}


def usage_event(path: str, model: str, tokens: int) -> bytes:
    """Return the chunk that vLLM adds for who asks for it by `stream_options`."""
    kind = "chat.completion.chunk" if path.endswith("/chat/completions") else "text_completion"
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    return data_event({"id": "cmpl-1", "object": kind, "created": 1, "model": model, "choices": [], "usage": usage})


def _response_events(model: str, token: str, tokens: int) -> Iterator[bytes]:
    response = {"id": f"resp_{model}", "object": "response", "model": model, "status": "in_progress", "output": []}
    yield named_event({"type": "response.created", "sequence_number": 0, "response": response})
    for number in range(1, tokens):
        yield named_event({"type": "response.output_text.delta", "sequence_number": number, "delta": token})


def error_event(path: str) -> bytes:
    """Return how a stream of vLLM tells of a failure of its own; of messages without a code."""
    if path == "/v1/messages":
        return named_event({"type": "error", "error": {"type": "internal_error", "message": "engine trouble"}})
    code = 500 if path == "/v1/completions" else 400
    kind = {400: "BadRequestError", 500: "InternalServerError"}[code]
    return data_event({"error": {"message": "engine trouble", "type": kind, "param": None, "code": code}})


def named_event(value: dict[str, Any]) -> bytes:
    return f"event: {value['type']}\n".encode() + data_event(value)


def data_event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
