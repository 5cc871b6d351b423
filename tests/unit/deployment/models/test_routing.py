"""The rules for `model: "auto"` in a models file: which are refused, and what those of production choose."""

from typing import Any

import pytest

from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.sizing import HostFacts, plan
from deployment.quantities import GIB
from deployment.render.files import Place, gateway_file
from gateway.config_file import parse_config
from gateway.fleet import registry_of
from gateway.routing import choose, question_of
from tests.support.deployments import deployment, model
from tests.unit.test_tidy import REPOSITORY

PLACE = Place(root="/opt/axion", runner="systemd")
HOST = HostFacts(name="walk", cores=32, memory_bytes=128 * GIB)
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        ({"fallback": "gone"}, 'routing.fallback: no model has this key, got "gone". Use alpha and beta.'),
        (
            {"rules": {"code": {"model": "gone", "tools": True}}},
            'routing.rules.code.model: no model has this key, got "gone". Use alpha and beta.',
        ),
        (
            {"rules": {"code": {"model": "beta"}}},
            "routing.rules.code: takes every request. Give a condition: has_images, min_prompt_chars, tools, words.",
        ),
        (
            {"rules": {"code": {"model": "beta", "words": [], "tools": None}}},
            "routing.rules.code: takes every request. Give a condition: has_images, min_prompt_chars, tools, words.",
        ),
        (
            {"rules": {"look": {"model": "beta", "has_images": True}}},
            'routing.rules.look.model: takes no pictures, got "beta". Name a model that does, or delete has_images.',
        ),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(routing: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        deployment(routing=routing)
    assert [problem[problem.index("routing") :] for problem in caught.value.problems] == [expected]


def test_a_rule_for_tools_names_a_model_that_calls_them() -> None:
    models = {"alpha": model(), "beta": model(engine={"enable_auto_tool_choice": False})}
    deployment(models, routing={"rules": {"call": {"model": "alpha", "tools": True}}})
    with pytest.raises(ConfigError) as caught:
        deployment(models, routing={"rules": {"call": {"model": "beta", "words": ["call"], "tools": True}}})
    (problem,) = caught.value.problems
    assert problem.endswith(
        'routing.rules.call.model: calls no tools, got "beta". Name a model with a tool parser, or delete tools.'
    )


def test_rules_that_exclude_pictures_and_tools_may_name_a_model_without_them() -> None:
    rule = {"model": "beta", "has_images": False, "tools": False}
    assert deployment(routing={"rules": {"plain": rule}}).routing is not None


@pytest.mark.parametrize("word", ["two words", "", "a-b", "x" * 41, "+"])
def test_a_word_is_one_word(word: str) -> None:
    with pytest.raises(ConfigError):
        deployment(routing={"rules": {"code": {"model": "beta", "words": [word]}}})


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("Hi", "phi4_fast"),
        ("Hola, ¿qué hora es?", "phi4_fast"),
        ("Which machine is the rapid one in this capital, and is it fundamental?", "phi4_fast"),  # hi, api, fun
        ("Fix this Python function", "qwen_coder"),
        ("Escribe una FUNCION en C++", "qwen_coder"),
        ("Traduce esto al inglés", "gemma3_multimodal"),
        ("TRADUCCION", "gemma3_multimodal"),
        ("Explícame por qué", "phi4_fast"),
        ("Explica la relatividad", "mistral_balanced"),
        ("Write a letter", "mistral_balanced"),
        ("word " * 500, "mistral_balanced"),
    ],
)
def test_the_rules_of_production_choose_as_one_would(text: str, model: str) -> None:
    assert chosen({"messages": [{"role": "user", "content": text}]}) == model


def test_pictures_go_to_the_model_that_sees_and_tools_to_one_that_calls() -> None:
    look = {"role": "user", "content": [{"type": "text", "text": "Fix this Python"}, PICTURE]}
    assert chosen({"messages": [look]}) == "gemma3_multimodal"
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert chosen({"messages": [{"role": "user", "content": "Traduce esto"}], "tools": tools}) == "mistral_balanced"


def chosen(body: dict[str, Any]) -> str:
    served = load_deployment(REPOSITORY / "models.yaml")
    text = gateway_file(served, plan(served, HOST, "/opt/axion"), PLACE).text
    config = parse_config(text.encode(), where="gateway.json").config
    assert config.routing is not None
    models = registry_of(config).models
    return choose(config.routing, question_of(body), models, set(models), config.default_model).model
