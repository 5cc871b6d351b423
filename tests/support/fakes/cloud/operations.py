"""Reading and awaiting operations, and the methods that every Compute collection shares."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.support.fakes.cloud.call import ANSWERS, Call, answers, fingerprint, same_bytes, start_operation
from tests.support.fakes.cloud.errors import ApiError, in_use, invalid, not_found
from tests.support.fakes.cloud.filters import matches
from tests.support.fakes.cloud.state import PREFIX, now

Json = dict[str, Any]
WAIT_S = 110.0
"""Google's wait gives up before two minutes and then answers with the operation as it is."""


def _operation(call: Call) -> Json:
    path = f"{call.parent}/operations/{call.parameters['operation']}"
    if path not in call.state.operations:
        raise not_found(path)
    return dict(call.state.operations[path])


@answers(*(f"compute.{scope}Operations.get" for scope in ("zone", "region", "global")))
def get_operation(call: Call) -> Json:
    """The operation as it is now."""
    return _operation(call)


@answers(*(f"compute.{scope}Operations.wait" for scope in ("zone", "region", "global")))
def wait_for_operation(call: Call) -> Json:
    """The operation when it is done. The lock is free meanwhile."""
    until = time.monotonic() + WAIT_S
    while True:
        with call.state.lock:
            call.state.advance()
            operation = _operation(call)
        if operation["status"] == "DONE" or time.monotonic() > until:
            return operation
        time.sleep(0.01)


@answers(*(f"compute.{scope}Operations.list" for scope in ("zone", "region", "global")))
def list_operations(call: Call) -> Json:
    """All operations of a scope."""
    prefix = f"{call.parent}/operations/"
    items = [found for path, found in call.state.operations.items() if path.startswith(prefix)]
    return {"kind": "compute#operationList", "id": prefix, "items": items, "selfLink": PREFIX + prefix}


def listed(call: Call, kind: str, parent: str, items: Iterable[Json]) -> Json:
    """A list of Compute's, of what the filter lets through."""
    found = [one for one in items if matches(call.parameters.get("filter", ""), one)]
    return {"kind": f"compute#{kind}List", "id": parent, "items": found, "selfLink": PREFIX + parent}


def aggregated(call: Call, collection: str, items: Iterable[tuple[str, Json]]) -> Json:
    """A list by scope: each item comes with its own."""
    found: Json = {}
    for scope, one in items:
        if matches(call.parameters.get("filter", ""), one):
            found.setdefault(scope, {}).setdefault(collection, []).append(one)
    where = f"projects/{call.project}/aggregated/{collection}"
    kind = "resourcePolicy" if collection == "resourcePolicies" else collection.removesuffix("s")
    return {"kind": f"compute#{kind}AggregatedList", "id": where, "items": found, "selfLink": PREFIX + where}


def its_users(call: Call, path: str) -> Iterator[str]:
    """Who has taken a resource, as it says itself."""
    for user in call.state.get(path).get("users", []):
        yield user.removeprefix(PREFIX)


Changes = Json | Callable[[], object]
"""What becomes of a resource when an operation ends: other values of its fields, or whatever has to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One kind of Compute resource: how it is called, what an insert adds and checks, and what keeps it alive."""

    name: str
    singular: str
    prepare: Callable[[Call, str, Json], Json] = lambda call, path, body: body
    finish: Callable[[Call, Json], None] = lambda call, resource: None
    users: Callable[[Call, str], Iterator[str]] = its_users
    gone: Callable[[Call, str], None] = lambda call, path: None
    leave: Callable[[Call, str], Callable[[], bool]] = lambda call, path: lambda: True
    """Begin to end what runs, and tell when it has ended."""
    patched: Callable[[Call, Json], None] = lambda call, resource: None
    """Why a PATCH is refused."""

    def register(self) -> "Collection":
        """Answer the methods that collections have; those of its own a collection registers by `changes`."""
        verbs = {"insert": self.insert, "get": self.get, "list": self.list, "delete": self.delete}
        for verb, answer in {**verbs, "aggregatedList": self.aggregated_list}.items():
            ANSWERS[f"compute.{self.name}.{verb}"] = answer
        self.changes("setLabels")(_set_labels)
        self.changes("patch")(self._patch)
        return self

    def changes(self, verb: str) -> Callable[[Callable[[Call, Json], Changes]], Callable[[Call, Json], Changes]]:
        """Make a function of a call and its resource the judge of a change, which an operation then brings about."""

        def register(judge: Callable[[Call, Json], Changes]) -> Callable[[Call, Json], Changes]:
            @answers(f"compute.{self.name}.{verb}")
            def answer(call: Call) -> Json:
                path = self.path(call)
                resource = call.state.get(path)
                made = judge(call, resource)
                finish: Callable[[], object] = made if callable(made) else partial(resource.update, made)
                return start_operation(call, path, finish=finish)

            return judge

        return register

    def _patch(self, call: Call, resource: Json) -> Json:
        """The given top-level fields."""
        self.patched(call, resource)
        return {key: value for key, value in call.body.items() if key not in ("name", "network", "fingerprint")}

    def path(self, call: Call) -> str:
        """The path of the resource that a call names, by name or by numeric id."""
        name = call.parameters.get(self.singular) or call.parameters["resource"]  # setDeletionProtection calls it that
        parent = f"{call.parent}/{self.name}"
        if name.isdigit():
            found = [path for path, one in call.state.under(parent, self.name) if one["id"] == name]
            return found[0] if found else f"{parent}/{name}"
        return f"{parent}/{name}"

    def _remove(self, call: Call, path: str) -> None:
        self.gone(call, path)
        call.state.remove(path)

    def insert(self, call: Call) -> Json:
        """Create a resource that is usable when its operation ends."""
        path = f"{call.parent}/{self.name}/{call.body['name']}"
        state = call.state
        if path in state.resources:
            state.add(path, {})
        resource = self.prepare(call, path, dict(call.body))
        scope = call.scope.partition("/")[0].removesuffix("s")
        resource = {
            "kind": f"compute#{self.singular}",
            "id": state.number(),
            "creationTimestamp": now(),
            **resource,
            "selfLink": PREFIX + path,
            **({scope: PREFIX + call.parent} if scope != "global" else {}),
        }
        state.add(path, resource)
        return start_operation(
            call,
            path,
            finish=lambda: self.finish(call, resource),
            undo=lambda: self._remove(call, path),
        )

    def get(self, call: Call) -> Json:
        """The resource."""
        return dict(call.state.get(self.path(call)))

    def list(self, call: Call) -> Json:
        """All resources of the scope that the filter lets through."""
        found = (one for _, one in call.state.under(call.parent, self.name))
        return listed(call, self.singular, f"{call.parent}/{self.name}", found)

    def aggregated_list(self, call: Call) -> Json:
        """All resources of the project by scope."""
        found = call.state.under(f"projects/{call.project}", self.name)
        return aggregated(call, self.name, (("/".join(path.split("/")[2:-2]), one) for path, one in found))

    def delete(self, call: Call) -> Json:
        """Delete a resource that nothing uses."""
        path = self.path(call)
        state = call.state
        resource = state.get(path)
        if resource.get("deletionProtection"):
            raise invalid(
                f"Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion.'. {path}"
            )
        for user in self.users(call, path):
            raise in_use(path, user)
        is_ready = self.leave(call, path)
        return start_operation(call, path, finish=lambda: self._remove(call, path), is_ready=is_ready)


def _set_labels(call: Call, resource: Json) -> Json:
    """All labels anew, if nobody else has changed them since they were read."""
    if not same_bytes(call.body.get("labelFingerprint", ""), resource["labelFingerprint"]):
        raise ApiError(412, "conditionNotMet", "Labels fingerprint either invalid or resource labels have changed")
    labels = call.body.get("labels", {})
    return {"labels": labels, "labelFingerprint": fingerprint(labels)}


def users_of(field: str, *collections: str) -> Callable[[Call, str], Iterator[str]]:
    """Who mentions a resource in a field."""

    def found(call: Call, path: str) -> Iterator[str]:
        for collection in collections:
            for user, one in call.state.under(f"projects/{call.project}", collection):
                if one.get(field) == PREFIX + path:
                    yield user

    return found
