"""A load file: who is asked how much, and every mistake in it at once."""

from pathlib import Path

import pytest

from deployment.capacity.load import Load, read_load
from deployment.capacity.queueing import Work
from deployment.document import parse_document
from deployment.errors import ConfigError
from deployment.models.load import load_deployment

DEPLOYMENT = load_deployment(Path("models.yaml"))


def read(text: str) -> dict[str, Load]:
    return dict(read_load(parse_document(text, "load.yaml"), DEPLOYMENT))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return list(caught.value.problems)


def test_a_total_is_divided_evenly_where_nobody_says_more() -> None:
    loads = read("requests_per_min: 240")
    assert {name: load.per_s for name, load in loads.items()} == dict.fromkeys(DEPLOYMENT.models, 1.0)
    assert loads["phi4_fast"].work == Work(prompt_tokens=512, output_tokens=128)


def test_a_model_has_its_own_requests_and_the_rest_goes_by_shares() -> None:
    loads = read(
        "requests_per_min: 300\noutput_tokens: 64\nttft_p95_s: 2\nmodels:\n"
        "  gemma3_multimodal: {requests_per_min: 60}\n"
        "  phi4_fast: {share: 3, prompt_tokens: 100, ttft_p95_s: 1}\n  qwen_coder: {share: 1}\n"
    )
    per_min = {name: load.per_s * 60 for name, load in loads.items()}
    assert per_min == pytest.approx(
        {"gemma3_multimodal": 60, "mistral_balanced": 0, "qwen_coder": 60, "phi4_fast": 180}
    )
    phi = loads["phi4_fast"]
    assert (phi.work.prompt_tokens, phi.work.output_tokens, phi.target.ttft_p95_s) == (100, 64, 1)
    assert loads["qwen_coder"].target.ttft_p95_s == 2


def test_every_mistake_is_named_with_its_line() -> None:
    assert problems("requests_per_min: -1\nodd: 5\n") == [
        "load.yaml:1 requests_per_min: too small, got -1. Give requests a minute of all models, divided by shares.",
        "load.yaml:2 odd: unknown key, got 5. Delete it; known here: prompt_tokens, output_tokens, ttft_p95_s, "
        "tokens_per_s, requests_per_min, models.",
    ]


def test_a_model_that_is_not_served_is_named_with_those_that_are() -> None:
    assert problems("requests_per_min: 1\nmodels:\n  phi5: {share: 1}\n") == [
        "load.yaml:3 models.phi5: no such model, got phi5. Use gemma3_multimodal, mistral_balanced, qwen_coder and "
        "phi4_fast."
    ]


def test_wrong_values_hide_no_model_that_is_not_served() -> None:
    assert problems("requests_per_min: yes\nmodels:\n  phi5: {share: 1}\n  phi4_fast: {ttft_p95_s: '4'}\n") == [
        "load.yaml:1 requests_per_min: not a number, got true. Give requests a minute of all models, divided by "
        "shares.",
        'load.yaml:4 models.phi4_fast.ttft_p95_s: not a number, got "4". Give seconds in which 95 % of answers must '
        "begin.",
        "load.yaml:3 models.phi5: no such model, got phi5. Use gemma3_multimodal, mistral_balanced, qwen_coder and "
        "phi4_fast.",
    ]


def test_numbers_that_contradict_each_other_are_refused() -> None:
    assert problems(
        "requests_per_min: 10\nmodels:\n  phi4_fast: {requests_per_min: 8, share: 2}\n"
        "  qwen_coder: {requests_per_min: 4}\n"
    ) == [
        "load.yaml:3 models.phi4_fast.share: beside requests_per_min of its own, got 2. Delete one of the two.",
        "load.yaml:1 requests_per_min: less than the 12 that models have of their own, got 10. It is the total: raise "
        "it, or lower theirs.",
    ]
    assert problems("models:\n  phi4_fast: {share: 3}\n  qwen_coder: {requests_per_min: 4}\n") == [
        "load.yaml:2 models.phi4_fast.share: a part of nothing, got 3. Give requests_per_min at the top of the file."
    ]


def test_requests_that_no_engine_would_take_and_no_requests_are_refused() -> None:
    assert problems("requests_per_min: 9\nprompt_tokens: 8000\noutput_tokens: 500\n") == [
        f"load.yaml models.{name}: longer than max_model_len {longest}, got 8500 tokens of prompt and answer. Ask for "
        "fewer, or raise it."
        for name, longest in (("mistral_balanced", 8192), ("qwen_coder", 8192), ("phi4_fast", 4096))
    ]
    assert problems("{}") == ["load.yaml: no requests. Give requests_per_min, in all or of a model."]
    assert problems("7") == ["load.yaml: not a mapping, got 7. Give requests_per_min."]
