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


_KEYS: Mapping[str, Keys] = MappingProxyType(
    {
        "/v1/chat/completions": Keys(("max_completion_tokens", "max_tokens")),
        "/v1/completions": Keys(("max_tokens",), is_endless_without=False),  # 16 in vLLM, as OpenAI has it
        "/v1/messages": Keys(("max_tokens",), is_endless_without=False),  # required
        "/v1/responses": Keys(("max_output_tokens",)),
    }
)


async def capped(raw: bytes, turns: Turns, route: str, cap: int | None) -> bytes:
    """Return the body with no more than so many output tokens, and every other byte as it was.

    The body must have passed read_asked. Raises ApiError for a number that is none.
    """
    keys = _KEYS.get(route)
    if cap is None or keys is None:
        return raw
    found = await read_members(raw, frozenset(keys.names), turns)
    values = {name: found[name] for name in keys.names if name in found}
    if all(value is None for value in values.values()):
        if not (values or keys.is_endless_without):
            return raw
        changed = [next(iter(values), keys.names[0])]
    else:
        changed = [name for name, value in values.items() if value is not None and not _is_within(value, cap)]
    return await with_members(raw, turns, put=dict.fromkeys(changed, cap)) if changed else raw


def _is_within(value: object, cap: int) -> bool:
    """Only a number can be: engines read "9999" as one too."""
    return isinstance(value, int | float) and value <= cap
