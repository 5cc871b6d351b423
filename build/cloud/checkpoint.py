"""A stack's state, as `pulumi stack export` writes it and `pulumi stack import` reads it.

What is read of it has types; whatever else Pulumi wrote is handed on as it was.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Inputs = Mapping[str, Any]
"""A resource's own, by the provider's names: as many forms as there are types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource, as the state or a preview has it."""

    urn: str
    type: str
    id: str | None
    parent: str | None
    dependencies: Sequence[str]
    is_custom: bool
    """Whether a provider has it; a component is Pulumi's alone."""
    inputs: Inputs
    outputs: Inputs

    @classmethod
    def parse(cls, told: Any) -> "Resource":
        """Read what Pulumi writes."""
        return cls(
            urn=str(told["urn"]),
            type=str(told.get("type", "")),
            id=told.get("id"),
            parent=told.get("parent"),
            dependencies=told.get("dependencies") or (),
            is_custom=bool(told.get("custom", True)),
            inputs=told.get("inputs") or {},
            outputs=told.get("outputs") or {},
        )

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True, slots=True)
class Operation:
    """What Pulumi was doing when it ended."""

    type: str
    """creating, updating, ..."""
    resource: Resource


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All of it."""

    document: Any

    @property
    def resources(self) -> Iterator[Resource]:
        """What the state has; not what it only still has to delete."""
        return (Resource.parse(each) for each in self._deployment.get("resources") or () if not each.get("delete"))

    @property
    def pending(self) -> list[Operation]:
        """What was under way."""
        told = self._deployment.get("pending_operations") or ()
        return [Operation(str(each["type"]), Resource.parse(each["resource"])) for each in told]

    def settled(self, ids: Mapping[str, str]) -> "Checkpoint":
        """The same with what was created, by URN with its id, and without pending operations. Pure."""
        result, left = copy.deepcopy(self), dict(ids)
        deployment = result.document["deployment"]
        for each in deployment.pop("pending_operations", None) or ():
            resource = each["resource"]
            if each["type"] == "creating" and resource["urn"] in left:
                # Last in the list, behind everything that it depends on.
                deployment["resources"].append({**resource, "id": left.pop(resource["urn"])})
        return result

    def moved(self, urn: str, *, old_zone: str, zone: str, facts: Mapping[str, str]) -> "Checkpoint":
        """The same with one resource in another zone, of which these outputs are known. Pure."""
        result = copy.deepcopy(self)
        for each in result.document["deployment"]["resources"]:
            if each["urn"] == urn and not each.get("delete"):
                each["id"] = str(each["id"]).replace(f"/zones/{old_zone}/", f"/zones/{zone}/")
                each["inputs"]["zone"] = zone
                each["outputs"].update(facts)
        return result

    @property
    def _deployment(self) -> Any:
        return self.document.get("deployment") or {}
