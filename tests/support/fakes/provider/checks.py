"""What a check refuses: types and inputs that the real provider does not have, or that the stand-in does not map."""

from typing import Any

from tests.support.fakes.provider import sdk
from tests.support.fakes.provider.kinds import Defaults, Kind
from tests.support.fakes.provider.registry import KINDS

Json = dict[str, Any]
PLACES = ("project", "region", "zone")


def kind_of(urn: str) -> Kind:
    """The kind in a URN; its last type is the resource's own."""
    token = urn.split("::")[2].rpartition("$")[2]
    if token not in KINDS:
        raise KeyError(
            f"{token}: not known to the stand-in provider, got it from {urn}. Add it to tests/support/fakes/provider."
        )
    return KINDS[token]


def unmapped(kind: Kind, inputs: Json, where: str = "") -> list[tuple[str, str]]:
    """Inputs that the SDK has and the stand-in does not: an error, since the test would prove nothing about them."""
    known, found = kind.known(), list[tuple[str, str]]()
    for name, value in inputs.items():
        path = f"{where}.{name}" if where else name
        if path not in known:
            found.append(
                (path, f"not known to the stand-in provider, got {value!r}. Map it in tests/support/fakes/provider.")
            )
        elif any(one.startswith(f"{path}.") for one in known):
            for item in value if isinstance(value, list) else [value]:
                found += unmapped(kind, item, path) if isinstance(item, dict) else []
    return found


def problems(kind: Kind, news: Json, defaults: Defaults) -> list[tuple[str, str]]:
    """Names, types and required inputs by the SDK; then what the stand-in maps; then the kind's own rules."""
    shape = sdk.types()[kind.token]["inputs"]
    found = list(sdk.problems(news, shape)) or [*unmapped(kind, news), *kind.check(news)]
    placed = kind.placed(news, defaults)
    found += [
        (name, f"required field is not set, got nothing. Set it, or gcp:{name} in the stack's configuration.")
        for name in PLACES
        if name in shape and not placed[name]
    ]
    if "name" in shape and "name" not in news:
        reason = "the real provider would add random characters to the resource's name: no name. Give it one."
        found.append(("name", reason))
    return found
