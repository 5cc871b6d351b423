"""What counts as an answer, judged by answers that vLLM 0.32 gave when it was in each of these states."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.answer import is_printable, problem_of, words_of

ADVICE = (
    ": the checkpoint is not whole, or its numbers overflow. Compare its files by `fab models-pull --verify`, or try "
    "another dtype"
)


def recorded(name: str) -> tuple[int, bytes]:
    """Status and body as they came from an engine's socket: tests/support/kernels/broken_checkpoints.py says of what.

    Tokens that one of them consists of were forced by `allowed_token_ids`; `half_text_only` is a small Mistral's.
    """
    status, _, body = (
        (Path(__file__).parents[2] / "support" / "data" / "engine_answers" / f"{name}.http")
        .read_bytes()
        .partition(b"\n")
    )
    return int(status), body


def healthy() -> Any:
    return json.loads(recorded("whole")[1])


def dumped(answer: Any) -> bytes:
    return json.dumps(answer).encode()


def test_a_sound_checkpoint_answers() -> None:
    status, body = recorded("whole")
    assert problem_of(status, body) is None
    assert is_printable(words_of(body))


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("half", "NaN where probabilities belong"),
        ("nan", "NaN where probabilities belong"),
        ("zero", "nothing that can be read in 8 tokens, only ''"),
        ("spaces", "nothing that can be read in 8 tokens, only '        '"),
        ("newlines", r"nothing that can be read in 8 tokens, only '\n\n\n\n\n\n\n\n'"),
        ("half_characters", "nothing that can be read in 8 tokens, only ''"),
        ("special_tokens", "nothing that can be read in 8 tokens, only ''"),
    ],
)
def test_an_engine_that_computes_nothing_of_use_is_not_ready(name: str, got: str) -> None:
    assert problem_of(*recorded(name)) == got + ADVICE


def test_text_alone_would_let_half_a_checkpoint_pass() -> None:
    """Its logits are NaN, and token 0 of its tokenizer is a word."""
    status, body = recorded("half_text_only")
    assert (status, words_of(body)) == (200, " w0 w0 w0 w0 w0 w0 w0 w0")
    assert problem_of(status, body) == f"it answers a prompt with 200: {body[:300].decode()}"


def test_a_sound_engine_that_may_end_at_once_says_nothing() -> None:
    """Why the question forbids it: answered without `min_tokens` by the engine that answers well with it."""
    assert problem_of(*recorded("ends_at_once")) == f"nothing that can be read in 1 tokens, only ''{ADVICE}"


def test_words_chosen_from_equally_likely_ones_are_none() -> None:
    """The head of zeros under a tokenizer whose token 0 is "!", as Qwen's is."""
    answer = json.loads(recorded("zero")[1])
    answer["choices"][0]["message"]["content"] = "!!!!!!!!"
    assert problem_of(200, dumped(answer)) == f"'!!!!!!!!', any other token being as likely{ADVICE}"


@pytest.mark.parametrize("unknown", [None, float("nan"), float("inf")])
def test_one_probability_that_is_no_number_is_enough(unknown: float | None) -> None:
    answer = healthy()
    answer["choices"][0]["logprobs"]["content"][3]["logprob"] = unknown
    assert problem_of(200, dumped(answer)) == "NaN where probabilities belong" + ADVICE


def test_two_tokens_that_are_equally_likely_in_one_place_are_a_chance() -> None:
    answer = healthy()
    first, second = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    second["logprob"] = first["logprob"]
    assert problem_of(200, dumped(answer)) is None


@pytest.mark.parametrize(
    ("content", "reasoning", "is_ready"),
    [
        ("Paris", None, True),
        (None, "The user wants", True),
        ("\n\n", " one", True),
        ("\ufffd\ufffd!", None, True),
        ("é", None, True),
        ("你", None, True),
        ("🙂", None, True),
        ("", None, False),
        (None, None, False),
        ("\n \t\u00a0\u3000", "", False),
        ("\ufffd\ufffd", None, False),
        ("\u200b\ufeff\x00", None, False),
    ],
)
def test_some_of_what_is_said_has_to_be_visible(content: str | None, reasoning: str | None, is_ready: bool) -> None:
    answer = healthy()
    answer["choices"][0]["message"] |= {"content": content, "reasoning": reasoning}
    problem = problem_of(200, dumped(answer))
    said = repr((reasoning or "") + (content or ""))
    assert problem == (None if is_ready else f"nothing that can be read in 8 tokens, only {said}{ADVICE}")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error": {"message": "no chat template"}}'),
        (200, b""),
        (200, b"<html>"),
        (200, b"null"),
        (200, b'{"choices": []}'),
        (200, b'{"choices": [{"message": null}]}'),
        (200, b'{"choices": [{"message": {"content": "Paris"}, "logprobs": null}]}'),
        (200, b'{"choices": [{"message": {"content": "Paris"}, "logprobs": {"content": [{"logprob": -1}]}}]}'),
    ],
)
def test_what_is_no_answer_is_told_as_it_came(status: int, body: bytes) -> None:
    assert problem_of(status, body) == f"it answers a prompt with {status}: {body.decode()}"
