"""What a row of the tables says, and how a document is made of it."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Said = Mapping[str, Any]
"""Values by the places where they are written, such as `models.alpha.cores`."""
Seen = Mapping[str, Any]
"""Values by the places where somebody reads them, such as `engines/alpha.yaml dtype`. None: nothing is there."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, a value that is not what it would be otherwise, and where that value arrives."""

    place: str
    value: Any
    arrives: Seen
    beside: Said = field(default_factory=dict)
    """What else has to be said for it to be allowed, or to mean something."""
    otherwise: Said | None = None
    """What is said without it, where that is not `beside` alone."""

    @property
    def without(self) -> Said:
        return self.beside if self.otherwise is None else self.otherwise

    @property
    def said(self) -> Said:
        return {**self.beside, self.place: self.value}

    def astray(self, without: Seen, found: Seen) -> Seen:
        """What is found instead, wherever it is not the value, or was that without the setting already."""
        return {
            place: found.get(place)
            for place, value in self.arrives.items()
            if found.get(place) != value or without.get(place) == value
        }


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A setting whose value is handed to nobody: it decides something, as a test shows."""

    why: str
    test: str
    """The name of the test's function."""


def made_of(*said: Said) -> dict[str, Any]:
    """Put values where they are written; later ones win."""
    made: dict[str, Any] = {}
    for place, value in (item for each in said for item in each.items()):
        *above, last = place.split(".")
        inner = made
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = copy.deepcopy(value)
    return made


def flat(value: Any, at: str) -> Iterator[tuple[str, Any]]:
    """Name every value inside plain data. A list of single values is one value."""
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from flat(each, f"{at}.{key}")
    elif (
        isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(each, Mapping) for each in value)
    ):
        for index, each in enumerate(value):
            yield from flat(each, f"{at}.{index}")
    else:
        yield at, value


def seen(value: Any, where: str) -> dict[str, Any]:
    """The same for what one reader gets, as `where key.of.the.value`."""
    return {place.replace(f"{where}.", f"{where} ", 1): each for place, each in flat(value, where)}
