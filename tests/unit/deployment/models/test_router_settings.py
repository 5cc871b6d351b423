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


def test_all_mistakes_are_told_at_once() -> None:
    assert len(problems({"exact": {"set": {"model": 1, "Seed": 2}}, "nobody": {"stripp": []}})) == 4


def test_a_variant_is_an_alias_with_settings() -> None:
    assert document()
    served = deployment({"alpha": model(aliases=["exact"], router_settings={"exact": {"set": {"temperature": 0}}})})
    assert served.models["alpha"].router_settings["exact"].set == {"temperature": 0}
