"""A model's budget of output tokens, put into a request where it asks for more, or for as many as there is room for."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.body import Turns, read_members, with_members


@dataclass(frozen=True, slots=True)
class Keys:
    """Under which names a kind of request says how many tokens it wants, and which one counts first."""

    names: tuple[str, ...]
    is_endless_without: bool = True
    within: str | None = None
    """The member in which they stand, where that is not the top level."""


_CHAT = Keys(("max_completion_tokens", "max_tokens"))
_KEYS: Mapping[str, Keys] = MappingProxyType(
    {
        "/v1/chat/completions": _CHAT,
        "/v1/chat/completions/batch": _CHAT,
        "/v1/completions": Keys(("max_tokens",), is_endless_without=False),  # 16 in vLLM, as OpenAI has it
        "/v1/messages": Keys(("max_tokens",), is_endless_without=False),  # required
        "/v1/responses": Keys(("max_output_tokens",)),
        "/inference/v1/generate": Keys(("max_tokens",), is_endless_without=False, within="sampling_params"),
    }
)


async def capped(raw: bytes, turns: Turns, route: str, cap: int | None) -> bytes:
    """Return the body with no more than so many output tokens, and every other byte as it was.

    The body must have passed read_asked. Raises ApiError for a number that is none.
    """
    keys = _KEYS.get(route)
    if cap is None or keys is None:
        return raw
    if keys.within is None:
        put: dict[str, object] = dict.fromkeys(
            _to_cap(await read_members(raw, frozenset(keys.names), turns), keys, cap), cap
        )
    else:
        inner = (await read_members(raw, frozenset({keys.within}), turns)).get(keys.within)
        changed = _to_cap(inner, keys, cap) if isinstance(inner, dict) else []
        put = {keys.within: {**inner, **dict.fromkeys(changed, cap)}} if isinstance(inner, dict) and changed else {}
    return await with_members(raw, turns, put=put) if put else raw


def _to_cap(found: Mapping[str, object], keys: Keys, cap: int) -> list[str]:
    """Return which names must say the cap."""
    values = {name: found[name] for name in keys.names if name in found}
    if any(value is not None for value in values.values()):
        return [name for name, value in values.items() if value is not None and not _is_within(value, cap)]
    return [next(iter(values), keys.names[0])] if values or keys.is_endless_without else []


def _is_within(value: object, cap: int) -> bool:
    """Only a number can be: engines read "9999" as one too."""
    return isinstance(value, int | float) and value <= cap
