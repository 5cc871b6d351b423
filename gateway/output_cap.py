"""A model's budget of output tokens, put into a request where it asks for more, or for as many as there is room for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.body import value_spans


@dataclass(frozen=True, slots=True)
class Keys:
    """Under which names a kind of request says how many tokens it wants, and which one counts first."""

    names: tuple[str, ...]
    is_endless_without: bool = True


_KEYS: Mapping[str, Keys] = MappingProxyType(
    {
        "/v1/chat/completions": Keys(("max_completion_tokens", "max_tokens")),
        "/v1/completions": Keys(("max_tokens",), is_endless_without=False),  # 16 in vLLM, as OpenAI has it
        "/v1/messages": Keys(("max_tokens",), is_endless_without=False),  # required
        "/v1/responses": Keys(("max_output_tokens",)),
    }
)


def capped(raw: bytes, route: str, cap: int | None) -> bytes:
    """Return the body with no more than so many output tokens, and every other byte as it was.

    The body must have passed read_asked.
    """
    keys = _KEYS.get(route)
    if cap is None or keys is None:
        return raw
    text = raw.decode()
    found = sorted(span for name in keys.names for span in value_spans(text, name))
    if not found:
        return _with_key(text, keys.names[0], cap) if keys.is_endless_without else raw
    values = [json.loads(text[start:end]) for start, end in found]
    is_endless = all(value is None for value in values)
    for (start, end), value in reversed(list(zip(found, values, strict=True))):
        if is_endless if value is None else not _is_within(value, cap):
            text = f"{text[:start]}{cap}{text[end:]}"
    return text.encode()


def _is_within(value: object, cap: int) -> bool:
    """Only a number can be: engines read "9999" as one too."""
    return isinstance(value, int | float) and value <= cap


def _with_key(text: str, name: str, cap: int) -> bytes:
    start = text.index("{") + 1
    separator = "" if text[start:].lstrip().startswith("}") else ", "
    return f'{text[:start]}"{name}": {cap}{separator}{text[start:]}'.encode()
