"""What every resource type has: its fields, where it lives in the cloud, and how it comes, changes and goes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.support.fakes.provider import sdk
from tests.support.fakes.provider.fields import Field, from_rest, known_paths, to_rest
from tests.support.fakes.provider.rest import Rest
from tests.support.fakes.provider.values import UNKNOWN

Json = dict[str, Any]
ATTRIBUTION = {"goog-pulumi-provisioned": "true"}
"""The label that the real provider adds to all that it creates."""
SHARED = frozenset({"project", "zone", "region"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the provider is configured with."""

    project: str = ""
    region: str = ""
    zone: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call that changes something in place: the inputs that need it, and what it sends."""

    inputs: frozenset[str]
    run: Callable[[Rest, str, Json, Json], object]
    needs_stop: bool = False


class PartlyDoneError(Exception):
    """The resource exists, but something after its creation went wrong."""

    def __init__(self, resource_id: str, reason: str) -> None:
        super().__init__(reason)
        self.resource_id = resource_id


def planned(inputs: Json, olds: Json, paths: frozenset[str]) -> Json:
    """Inputs with what the cloud will fill in: as before where there is a before, else not known yet."""
    found = dict(inputs)
    for path in paths:
        name, _, rest = path.partition(".")
        old = olds.get(name)
        if not rest:
            found.setdefault(name, UNKNOWN if old is None else old)
        elif isinstance(found.get(name), list):
            before = old if isinstance(old, list) and len(old) == len(found[name]) else [{}] * len(found[name])
            pairs = zip(found[name], before, strict=True)
            found[name] = [planned(one, other, frozenset({rest})) for one, other in pairs]
        elif isinstance(found.get(name), dict):
            found[name] = planned(found[name], old if isinstance(old, dict) else {}, frozenset({rest}))
    return found


class Kind:
    """A resource type whose REST resource has a path of its own."""

    token: ClassVar[str]
    item: ClassVar[str]
    """The id, with its variables in braces."""
    fields: ClassVar[Sequence[Field]]
    client_only: ClassVar[frozenset[str]] = frozenset({"deletionPolicy"})
    """Inputs that steer the real provider and are in no request."""
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE"}
    fixed: ClassVar[frozenset[str]] = frozenset()
    """Inputs of its own that make a new resource, besides those that are in the id."""
    patched: ClassVar[frozenset[str]] = frozenset()
    """Inputs that one PATCH changes in place."""
    steps: ClassVar[tuple[Step, ...]] = ()
    secret_outputs: ClassVar[frozenset[str]] = frozenset()
    empty_when_absent: ClassVar[frozenset[str]] = frozenset()
    """Inputs that, left out, mean none, rather than whatever the cloud has."""
    filled_in: ClassVar[frozenset[str]] = frozenset()
    """Dotted paths of inputs that the cloud fills in: left out, they are no difference, and unknown in a preview."""
    api: ClassVar[str] = "compute/v1/"
    has_labels: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if cls.has_labels:
            cls.secret_outputs |= {"pulumiLabels", "effectiveLabels"}

    @property
    def noun(self) -> str:
        """What error texts call it."""
        return self.token.rpartition(":")[2]

    def known(self) -> frozenset[str]:
        """Every input that this stand-in maps."""
        own = SHARED & set(sdk.types()[self.token]["inputs"])
        return known_paths(self.fields) | self.client_only | own

    def updatable(self) -> frozenset[str]:
        """Inputs that can change in place; any other makes a new resource, and so does what is in the id."""
        stepped = frozenset(name for step in self.steps for name in step.inputs)
        return (self.patched | stepped | self.client_only) - set(re.findall(r"\{(\w+)\}", self.item)) - self.fixed

    def replaces(self, path: str) -> bool:
        """Whether a change at this path makes a new resource."""
        bare = re.sub(r"\[\d+\]", "", path)
        if sdk.says_replaces(self.token, bare):
            return True
        return not any(bare == one or bare.startswith(f"{one}.") for one in self.updatable())

    def outgrown(self, path: str, new: object, old: object) -> bool:
        """Whether an input that can change in place cannot change in this direction, and so makes a new resource."""
        return False

    def same(self, path: str, new: object, old: object) -> bool:
        """Whether two spellings mean the same, as far as only this type knows."""
        return False

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What the real provider refuses before asking the cloud, beyond names and types of inputs."""
        return []

    def placed(self, inputs: Json, defaults: Defaults) -> Json:
        """Inputs with the provider's project, region and zone filled in."""
        found = dict(inputs)
        for name in SHARED & set(sdk.types()[self.token]["inputs"]):
            if not found.get(name):
                found[name] = getattr(defaults, name)
        return found

    def variables(self, resource_id: str) -> dict[str, str]:
        """The parts of an id."""
        pieces = re.split(r"\{(\w+)\}", self.item)
        pattern = "".join(f"(?P<{one}>[^/]+)" if index % 2 else re.escape(one) for index, one in enumerate(pieces))
        found = re.fullmatch(pattern, resource_id)
        if found is None:
            raise ValueError(f"id of {self.token}: must look like {self.item}, got {resource_id}. Correct the id.")
        return found.groupdict()

    def id_of(self, inputs: Json) -> str:
        """The id that a resource with these inputs has."""
        return self.item.format_map(inputs)

    def collection(self, inputs: Json) -> str:
        """Where an insert goes."""
        return self.item.rpartition("/")[0].format_map(inputs)

    def body(self, rest: Rest, inputs: Json) -> Json:
        """What an insert sends."""
        return to_rest(self.fields, inputs)

    def create(self, rest: Rest, inputs: Json) -> str:
        """Make the resource and say its id."""
        rest.compute("POST", self.collection(inputs), self.body(rest, inputs))
        return self.id_of(inputs)

    def get(self, rest: Rest, resource_id: str) -> Json | None:
        """The REST resource."""
        return rest.get(self.api + resource_id)

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """The outputs, or None when it is gone."""
        body = self.get(rest, resource_id)
        if body is None:
            return None
        return {**self.variables(resource_id), **from_rest(self.fields, body)}

    def imported(self, resource_id: str) -> Json:
        """Inputs that only an import needs: a refresh keeps the program's spelling of them."""
        return {}

    def patch(self, rest: Rest, resource_id: str, inputs: Json, changed: frozenset[str]) -> None:
        """Change in place with one PATCH."""
        wanted = {name: inputs.get(name, self.empty(name)) for name in changed}
        rest.compute("PATCH", resource_id, to_rest(self.fields, wanted))

    def empty(self, name: str) -> Any:
        """What an input is when it was taken away."""
        shape = sdk.types()[self.token]["inputs"][name]
        scalar = {"string": "", "boolean": False, "integer": 0, "number": 0}
        default = [] if "list" in shape else scalar.get(shape.get("type", ""), {})
        return self.defaults.get(name, default)

    def update(self, rest: Rest, resource_id: str, old: Json, inputs: Json, changed: frozenset[str]) -> None:
        """Change in place: the PATCH first, then each step that a changed input needs."""
        if changed & self.patched:
            self.patch(rest, resource_id, inputs, changed & self.patched)
        for step in self.steps:
            if changed & step.inputs:
                step.run(rest, resource_id, old, inputs)

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """Delete; that it is gone already is fine."""
        rest.compute("DELETE", resource_id)
