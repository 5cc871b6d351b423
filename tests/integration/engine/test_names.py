"""Names that models.yaml may use, held against those that the very vLLM knows."""

from typing import Any

import pytest

from deployment.checkpoint.families import REASONING_PARSERS, TOOL_CALL_PARSERS
from deployment.models.option_rules import argument_problem
from deployment.models.spec import Engine
from tests.integration.engine.test_arguments import ask_parser

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def names(engine_python: str) -> dict[str, Any]:
    found: dict[str, Any] = ask_parser(engine_python, [])["names"]
    return found


def test_the_parsers_that_may_be_named_are_those_that_vllm_has(names: dict[str, Any]) -> None:
    assert set(TOOL_CALL_PARSERS) == set(names["tools"])
    assert set(REASONING_PARSERS) == set(names["reasoning"])


def test_no_spelling_of_an_argument_of_ours_passes_as_an_extra_one(names: dict[str, Any]) -> None:
    """vLLM has second names for some: each must be refused like the first."""
    ours = [spelling for spelling, dest in names["spellings"].items() if dest in Engine.model_fields]
    assert len(ours) > 20
    assert [each for each in ours if argument_problem(each.removeprefix("--")) is None] == []
