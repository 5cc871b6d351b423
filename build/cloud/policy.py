"""An organisation policy as Google answers with it, and what it says to a value: yes, no, or not to be told from here.

The values of list constraints: "Organization policy constraints" and "Restricting Resource Locations" (Google's
documentation). A value may begin with `is:`, `under:` (a project, folder or organisation with all below it) or `in:` (a
group of locations).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONTINENTS = frozenset({"us", "europe", "asia", "australia", "northamerica", "southamerica", "africa", "me"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is in force for one constraint."""

    is_enforced: bool = False
    """Of a boolean constraint."""
    all_values: str = ""
    """ALLOW or DENY where a list constraint knows no exceptions."""
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> "Policy":
        """Read what `gcloud resource-manager org-policies describe --effective` prints."""
        listed = answer.get("listPolicy") or {}
        return cls(
            is_enforced=bool((answer.get("booleanPolicy") or {}).get("enforced")),
            all_values=str(listed.get("allValues") or ""),
            allowed=tuple(map(str, listed.get("allowedValues") or ())),
            denied=tuple(map(str, listed.get("deniedValues") or ())),
        )

    def allows(self, name: str) -> bool | None:
        """Whether a list constraint lets a value through; None where only Google can tell."""
        if self.all_values in ("ALLOW", "DENY"):
            return self.all_values == "ALLOW"
        denied = _any_means(self.denied, name)
        if denied or denied is None:
            return None if denied is None else False
        return _any_means(self.allowed, name) if self.allowed else True

    @property
    def shown(self) -> str:
        """What it lists, for a sentence."""
        if self.all_values:
            return self.all_values.lower() + " all"
        parts = [("allowed", self.allowed), ("denied", self.denied)]
        return "; ".join(f"{what} {', '.join(values)}" for what, values in parts if values) or "enforced"


def _any_means(values: tuple[str, ...], name: str) -> bool | None:
    answers = [_means(value, name) for value in values]
    return True if True in answers else None if None in answers else False


def _means(value: str, name: str) -> bool | None:
    """Whether a value of a list stands for a name."""
    if value.startswith("in:"):
        return _in_group(value.removeprefix("in:").removesuffix("-locations"), name)
    if value.startswith("under:"):
        above = value.removeprefix("under:")
        # Which folder or organisation a project is in is not read here.
        return f"{name}/".startswith(f"{above}/") if above.startswith("projects/") else None
    bare = value.removeprefix("is:")
    if bare == name:
        return True
    # Whether a region's own name lets its zones through Google's documentation does not say.
    return None if bare == name.rpartition("-")[0] and bare.count("-") == 1 and "/" not in bare else False


def _in_group(group: str, name: str) -> bool | None:
    """Whether a group of locations holds one: a continent's, a region's or a zone's do by their names."""
    head = group.partition("-")[0]
    if group in CONTINENTS or group[-1:].isdigit():
        return name == group or name.startswith(f"{group}-")
    if head == "eu":  # the Union's, which some of Europe's regions are not in
        return None if name.startswith("europe-") else name == "eu"
    return None if name.startswith(head) else False
