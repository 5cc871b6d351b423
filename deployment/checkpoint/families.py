"""Which architectures are served, and which of vLLM's parsers each needs: families.toml.

Without a tool parser vLLM answers 400 to every request with tools that leaves the choice to the model. Two parsers
end the engine's start where the tokenizer lacks their mark (vllm.parser.parser_manager, validate_parser_tokenizer),
so they are chosen only where the chat template shows that the model was taught it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE: Mapping[str, Any] = tomllib.loads(Path(__file__).with_name("families.toml").read_text(encoding="utf-8"))
ARCHITECTURES: Mapping[str, Mapping[str, Any]] = TABLE["architectures"]
TOOL_CALL_PARSERS, REASONING_PARSERS = (tuple(TABLE["parsers"][kind]) for kind in ("tool_call", "reasoning"))


@dataclass(frozen=True, slots=True)
class Family:
    """The parsers of one kind of checkpoint; None where vLLM has none for it."""

    tool_call_parser: str | None = None
    reasoning_parser: str | None = None


def defaults_for(architecture: str, template: str | None = None) -> Family:
    """Choose the parsers of an architecture, by the text of its chat template where that is known."""
    known = ARCHITECTURES.get(architecture, {})
    family = Family(known.get("tool_call_parser"), known.get("reasoning_parser"))
    if template is None:
        return family
    reasoning = _marked("reasoning", template) if family.reasoning_parser else None
    return Family(_marked("tool_call", template), reasoning)


def _marked(kind: str, template: str) -> str | None:
    return next((parser for mark, parser in TABLE["marks"][kind].items() if mark in template), None)
