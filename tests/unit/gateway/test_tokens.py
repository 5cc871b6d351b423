"""How many tokens a request took, from answers as engines write them."""

import json

import pytest

from gateway.sse import EventStream
from gateway.tokens import Tokens, estimate

CHAT = {"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5, "prompt_tokens_details": None}


def seen(tokens: Tokens) -> tuple[int, int, bool]:
    return tokens.prompt, tokens.completion, tokens.is_told


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"choices": [], "usage": CHAT}, (7, 5, True)),
        ({"data": [], "usage": {"prompt_tokens": 9, "total_tokens": 9}}, (9, 0, True)),
        ({"type": "message", "usage": {"input_tokens": 3, "output_tokens": 4}}, (3, 4, True)),
        ({"choices": [{"text": '"usage": {"prompt_tokens": 99}'}]}, (0, 0, False)),
        ({"tools": [{"usage": {"prompt_tokens": 99}}], "usage": CHAT}, (7, 5, True)),
        ({"usage": None}, (0, 0, False)),
        ({"usage": {"prompt_tokens": -5, "completion_tokens": True}}, (0, 0, False)),
        ([{"usage": CHAT}], (0, 0, False)),
    ],
)
def test_a_whole_answer_says_it_at_its_top(answer: object, expected: tuple[int, int, bool]) -> None:
    tokens = Tokens()
    tokens.see_answer(json.dumps(answer).encode())
    assert seen(tokens) == expected


def test_what_is_no_json_says_nothing() -> None:
    tokens = Tokens()
    for body in (b"", b'{"usage"', b"\xff", b'{"usage": ' + b"[" * 100_000):
        tokens.see_answer(body)
    assert seen(tokens) == (0, 0, False)


def event(value: object, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([event({"choices": [{}]}), event({"choices": [], "usage": CHAT}), b"data: [DONE]\n\n"], (7, 5, True)),
        (
            [
                event({"usage": {**CHAT, "completion_tokens": number}}) for number in range(1, 4)
            ],  # continuous_usage_stats
            (7, 3, True),
        ),
        (
            [
                event({"message": {"usage": {"input_tokens": 3, "output_tokens": 0}}}, "message_start"),
                event({"delta": {}, "usage": {"output_tokens": 6}}, "message_delta"),
            ],
            (3, 6, True),
        ),
        (
            [event({"response": {"usage": {"input_tokens": 3, "output_tokens": 8}}}, "response.completed")],
            (3, 8, True),
        ),
        ([event({"choices": [{"delta": {"content": "usage"}}]})], (0, 0, False)),
    ],
)
def test_a_stream_says_it_in_one_of_its_events(events: list[bytes], expected: tuple[int, int, bool]) -> None:
    each, all_at_once = Tokens(), Tokens()
    for one in events:
        each.see_events(one)
    all_at_once.see_events(b"".join(events))
    assert seen(each) == seen(all_at_once) == expected


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_a_large_answer_says_it_near_its_end_wherever_it_is_cut(size: int) -> None:
    body = json.dumps({"data": ["x" * 50_000], "text": '"usage": {"prompt_tokens": 1}', "usage": CHAT}).encode()
    tokens = Tokens()
    for start in range(0, len(body), size):
        tokens.see_part(body[start : start + size])
    assert seen(tokens) == (7, 5, True)


@pytest.mark.parametrize("size", [1000, 100_000, 10**9])
def test_a_large_answer_says_it_also_where_the_logprobs_of_its_prompt_follow(size: int) -> None:
    body = json.dumps({"choices": [], "usage": CHAT, "prompt_logprobs": ["x" * 500_000]}).encode()
    whole, in_parts = Tokens(), Tokens()
    whole.see_answer(body)
    for start in range(0, len(body), size):
        in_parts.see_part(body[start : start + size])
    assert seen(whole) == seen(in_parts) == (7, 5, True)


def test_a_stream_that_does_not_say_counts_by_events_and_its_prompt_by_bytes() -> None:
    events = EventStream((b"data: [DONE]",))
    events.feed(b"data: {}\n\n" * 4 + b"data: [DONE]\n\n")
    assert estimate(events, body_bytes=41, longest=None) == (11, 4)
    assert estimate(events, body_bytes=4_000_000, longest=8192) == (8192, 4)
    broken = EventStream((b"data: [DONE]",))
    broken.feed(b"data: {}\n\n" * 3)
    assert estimate(broken, body_bytes=0, longest=8192) == (0, 3)
