"""Ollama's lines from an engine's events: pure, with a clock that is told the time."""

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ApiError
from gateway.ollama.answering import Lines, Times, embedded
from gateway.ollama.translation import Kind, Translation

STAMP = "2026-01-31T12:00:00.000001Z"
USAGE = {"prompt_tokens": 26, "completion_tokens": 3, "total_tokens": 29}
FIGURES = {
    "total_duration": 9_000_000_000,
    "load_duration": 1_000_000_000,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 3_000_000_000,
    "eval_count": 3,
    "eval_duration": 5_000_000_000,
}


def clock() -> Iterator[float]:
    """The first token came at 4 s, the last at 9 s; further looks would be a mistake."""
    yield from (4.0, 9.0)


def lines_of(kind: Kind, *, streamed: bool = True, thoughts: bool = True) -> Lines:
    asked = Translation(
        kind=kind, path="", body={}, model="llama3.2", is_streamed=streamed, wants_thoughts=thoughts
    )  # fmt: skip
    ticks = clock()
    return Lines(asked, "served", Times(began=0.0, asked=1.0, clock=lambda: next(ticks)), stamp=lambda: STAMP)


def sse(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def delta(reason: str | None = None, **said: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": said, "finish_reason": reason}]}


def parsed(raw: bytes) -> list[dict[str, Any]]:
    assert raw.endswith(b"\n")
    return [json.loads(line) for line in raw.splitlines()]


def told(content: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "llama3.2",
        "created_at": STAMP,
        "message": {"role": "assistant", "content": content, **more},
        "done": False,
    }


SKY = sse(
    delta(role="assistant", content=""),
    delta(content="The"),
    delta(content=" sky"),
    delta("stop", content=""),
    {"choices": [], "usage": USAGE},
)


def test_a_chat_becomes_lines_and_the_last_has_the_figures() -> None:
    assert parsed(lines_of(Kind.CHAT).feed(SKY)) == [
        told("The"),
        told(" sky"),
        {**told(""), "done": True, "done_reason": "stop", **FIGURES},
    ]


def test_an_answer_that_is_not_streamed_is_one_object() -> None:
    lines = lines_of(Kind.CHAT, streamed=False)
    assert parsed(lines.feed(SKY)) == [{**told("The sky"), "done": True, "done_reason": "stop", **FIGURES}]
    assert lines.content_type == "application/json; charset=utf-8"


@pytest.mark.parametrize("streamed", [True, False])
def test_generated_text_stands_in_response(streamed: bool) -> None:
    chunks = (
        {"choices": [{"index": 0, "text": text, "finish_reason": end}]} for text, end in (("a", None), ("b", "length"))
    )
    got = parsed(lines_of(Kind.GENERATE, streamed=streamed).feed(sse(*chunks, {"choices": [], "usage": USAGE})))
    head = {"model": "llama3.2", "created_at": STAMP}
    last = {**head, "response": "" if streamed else "ab", "done": True, "done_reason": "length", **FIGURES}
    before = [{**head, "response": text, "done": False} for text in "ab"] if streamed else []
    assert got == [*before, last]


CALLED = sse(
    delta(role="assistant", reasoning="hm"),
    delta(tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '{"city": "To'}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": 'kyo"}'}}]),
    delta(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "time", "arguments": "{}"}}]),
    delta("tool_calls"),
    {"choices": [], "usage": USAGE},
)
CALLS = [
    {"id": "c1", "function": {"name": "weather", "arguments": {"city": "Tokyo"}}},
    {"id": "c2", "function": {"name": "time", "arguments": {}}},
]


def test_tool_calls_are_told_whole_and_thoughts_apart() -> None:
    assert parsed(lines_of(Kind.CHAT).feed(CALLED)) == [
        told("", thinking="hm"),
        told("", tool_calls=CALLS),
        {**told(""), "done": True, "done_reason": "stop", **FIGURES},
    ]
    (whole,) = parsed(lines_of(Kind.CHAT, streamed=False).feed(CALLED))
    assert whole["message"] == {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": CALLS}


def test_thoughts_that_nobody_wants_are_left_out() -> None:
    (whole,) = parsed(lines_of(Kind.CHAT, streamed=False, thoughts=False).feed(CALLED))
    assert "thinking" not in whole["message"]


def test_counts_that_the_engine_did_not_give_are_not_made_up() -> None:
    last = parsed(lines_of(Kind.CHAT).feed(sse(delta("stop", content="x"))))[-1]
    assert "eval_count" not in last
    assert "prompt_eval_count" not in last
    assert last["eval_duration"] == 5_000_000_000


def test_an_answer_without_a_token_has_taken_no_time_for_tokens() -> None:
    asked = Translation(kind=Kind.CHAT, path="", body={}, model="m", is_streamed=True)
    lines = Lines(asked, "m", Times(began=0.0, asked=1.0, clock=lambda: 9.0))
    (last,) = parsed(lines.feed(sse(delta("stop"))))
    assert (last["prompt_eval_duration"], last["eval_duration"]) == (8_000_000_000, 0)


@given(st.lists(st.integers(0, len(CALLED)), max_size=8))
def test_any_split_gives_the_same_lines(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(CALLED)]
    lines = lines_of(Kind.CHAT)
    got = b"".join(lines.feed(CALLED[start:end]) for start, end in itertools.pairwise(edges))
    assert got == lines_of(Kind.CHAT).feed(CALLED)
    assert lines.rest() == b""


def test_a_giant_event_in_parts_is_one_line() -> None:
    raw = sse(delta("stop", content="x" * 700_000))
    lines = lines_of(Kind.CHAT)
    got = b"".join(lines.feed(raw[start : start + 4096]) for start in range(0, len(raw), 4096))
    assert [len(line["message"]["content"]) for line in parsed(got)] == [700_000, 0]


@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"'])
def test_a_tool_call_that_is_no_json_is_an_error_and_not_an_empty_call(arguments: str) -> None:
    chunk = delta("tool_calls", tool_calls=[{"index": 0, "function": {"name": "f", "arguments": arguments}}])
    with pytest.raises(ApiError, match="called 'f' with arguments that are no object"):
        lines_of(Kind.CHAT).feed(sse(chunk))


def test_an_interruption_is_a_line() -> None:
    assert lines_of(Kind.CHAT).interruption(ApiError(502, "upstream_error", "gone")) == b'{"error": "gone"}\n'


def test_an_engines_error_in_the_middle_is_a_line_in_its_words_and_the_last() -> None:
    raw = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: {"error":{"message":"trouble","code":500}}\n\n'
    lines = lines_of(Kind.CHAT)
    assert parsed(lines.feed(raw + b"data: [DONE]\n\n")) == [told("x"), {"error": "trouble"}]
    assert lines.feed(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n') == b""
    assert lines.said_error


def test_an_error_before_the_first_line_is_raised_for_it_can_get_a_status() -> None:
    raw = sse(delta(role="assistant", content=""), {"error": {"message": "trouble", "code": 500}})
    with pytest.raises(ApiError, match="trouble"):
        lines_of(Kind.CHAT).feed(raw)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            Kind.EMBED,
            {
                "model": "m",
                "embeddings": [[0.01, -0.5], [1.0, 2.0]],
                "total_duration": 9_000_000_000,
                "load_duration": 1_000_000_000,
                "prompt_eval_count": 26,
            },
        ),
        (Kind.EMBEDDINGS, {"embedding": [0.01, -0.5]}),
    ],
)
def test_embeddings(kind: Kind, expected: dict[str, Any]) -> None:
    body = {"data": [{"embedding": [0.01, -0.5]}, {"embedding": [1.0, 2.0]}], "usage": USAGE}
    asked = Translation(kind=kind, path="", body={}, model="m")
    raw = embedded(asked, "served", json.dumps(body).encode(), Times(began=0.0, asked=1.0, clock=lambda: 9.0))
    assert json.loads(raw) == expected


def test_a_batch_of_embeddings_takes_no_time_and_keeps_every_digit() -> None:
    vector = b"[" + b", ".join([b"-0.012345678901234567"] * 4096) + b"]"
    items = b",".join(b'{"index": %d, "object": "embedding", "embedding": %s}' % (at, vector) for at in range(200))
    body = b'{"object": "list", "model": "embedding", "data": [' + items + b'], "usage": {"prompt_tokens": 26}}'
    asked, times = (
        Translation(kind=Kind.EMBED, path="", body={}, model="m"),
        Times(began=0.0, asked=1.0, clock=lambda: 9.0),
    )
    began = time.process_time()
    raw = embedded(asked, "served", body, times)
    assert time.process_time() - began < 0.5  # reading and writing the numbers takes seconds
    assert (raw.count(vector), json.loads(raw)["prompt_eval_count"]) == (200, 26)


@pytest.mark.parametrize("kind", [Kind.EMBED, Kind.EMBEDDINGS])
def test_what_is_no_list_of_embeddings_is_the_engines_failure(kind: Kind) -> None:
    asked, times = Translation(kind=kind, path="", body={}, model="m"), Times(began=0.0, asked=1.0, clock=lambda: 9.0)
    for body in (b"", b"[]", b"{}", b"null", b"no JSON", b'{"embedding": [1.0'):
        with pytest.raises(ApiError) as refused:
            embedded(asked, "served", body, times)
        assert refused.value.status == 502
    told = json.loads(embedded(asked, "served", b'{"data": []}', times))
    assert told["embeddings" if kind is Kind.EMBED else "embedding"] == []
