"""What is changed in requests by the name that they ask for: which names, and which parameters."""

from typing import Any

import pytest

from deployment.errors import ConfigError
from tests.support.deployments import deployment, document, model


def problems(settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        deployment({"alpha": model(aliases=["exact"], router_settings=settings)})
    return [problem.partition("models.alpha.router_settings.")[2] for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"nobody": {"set": {"seed": 1}}},
            'nobody: no name of this model, got "nobody". Add it to aliases, or use one of its names.',
        ),
        ({"exact": {"set": {"model": "x"}}}, 'exact.set: requests keep their own, got "model". Delete it.'),
        ({"exact": {"strip": ["stream"]}}, 'exact.strip: requests keep their own, got "stream". Delete it.'),
        (
            {"exact": {"set": {"seed": 1}, "strip": ["seed"]}},
            'exact.strip: set as well, got "seed". Delete it from one of them.',
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: Any, expected: str) -> None:
    assert problems(settings) == [expected]


@pytest.mark.parametrize("value", [False, None, [], "", {"enable_thinking": False}])
def test_a_request_may_get_whatever_json_has(value: Any) -> None:
    """Nothing of it passes through the reader of vLLM's configuration files, which drops some of these."""
    served = deployment({"alpha": model(router_settings={"alpha": {"set": {"parallel_tool_calls": value}}})})
    assert served.models["alpha"].router_settings["alpha"].set == {"parallel_tool_calls": value}


def test_a_number_that_json_lacks_is_refused() -> None:
    assert problems({"exact": {"set": {"temperature": float("nan")}}}) == [
        "exact.set.temperature: not a number that JSON has, got NaN. Give a mapping such as {temperature: 0}."
    ]


def test_names_are_refused_by_their_own_rule() -> None:
    assert problems({"exact": {"set": {"Seed": 1}}, "-x": {}}) == [
        'exact.set.Seed: not a usable name, got "Seed". Use a parameter of requests, such as temperature.',
        '-x: not a usable name, got "-x". Use letters, digits and . _ : / -, starting with a letter or digit.',
        '-x: no name of this model, got "-x". Add it to aliases, or use one of its names.',
    ]


def test_all_mistakes_are_told_at_once() -> None:
    assert len(problems({"exact": {"set": {"model": 1, "Seed": 2}}, "nobody": {"stripp": []}})) == 4


def test_a_variant_is_an_alias_with_settings() -> None:
    assert document()
    served = deployment({"alpha": model(aliases=["exact"], router_settings={"exact": {"set": {"temperature": 0}}})})
    assert served.models["alpha"].router_settings["exact"].set == {"temperature": 0}
