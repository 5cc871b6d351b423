"""Resources of the newer APIs: no operations to wait for, and the same five methods for each kind."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.fakes.cloud.call import ANSWERS, Call
from tests.support.fakes.cloud.errors import ApiError, already_exists
from tests.support.fakes.cloud.policies import by_id, project_id

Json = dict[str, Any]


def named(call: Call) -> str:
    """The path that a call names, as a thing or as the parent of one."""
    return by_id(call.state, call.parameters.get("name") or call.parameters["parent"])


def in_project(call: Call) -> str:
    """The project in which a call lists or creates."""
    name = call.parameters.get("parent") or call.parameters["name"]
    return f"projects/{project_id(call.state, name.rpartition('/')[2])}"


def masked(call: Call, resource: Json) -> Json:
    """What the mask names, or everything in the body; what a mask names and the body does not have is taken away."""
    mask = call.parameters.get("updateMask", "")
    tops = {
        re.sub(r"_(\w)", lambda found: found[1].upper(), name.partition(".")[0]) for name in mask.split(",") if name
    }
    changes = {key: call.body[key] for key in (tops or call.body) if key in call.body}
    return {**{key: value for key, value in resource.items() if key not in tops}, **changes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One kind; `register` answers its methods but those that have an answer of their own."""

    service: str
    """The ids of its methods without the verb; the last word is its collection."""
    create: Callable[[Call, str], tuple[str, Json]]
    """Path and content of a new one below a parent, or the refusal."""
    absent: str = "The resource {path} was not found."
    taken: Callable[[str], ApiError] = already_exists
    find: Callable[[Call], str] = named
    parent: Callable[[Call], str] = in_project
    has_size: bool = False
    """Whether a list says how long it is."""
    listed: Callable[[Call, Json], bool] = lambda call, resource: True
    shown: Callable[[Call, Json], Json] = lambda call, resource: resource
    change: Callable[[Call, Json], Json] = masked
    """What a PATCH makes of one, or the refusal."""
    gone: Callable[[Call, str], None] = lambda call, path: None
    """What else a deletion does, or why it is refused."""

    def register(self) -> "Stored":
        """Answer the methods."""
        verbs = {"create": self.insert, "insert": self.insert, "get": self.get, "list": self.list}
        for verb, answer in {**verbs, "patch": self.patch, "delete": self.delete}.items():
            ANSWERS.setdefault(f"{self.service}.{verb}", answer)
        return self

    @property
    def collection(self) -> str:
        """As paths and lists call it."""
        return self.service.rpartition(".")[2]

    def path(self, call: Call) -> str:
        """The path of one that must be there."""
        path = self.find(call)
        if path not in call.state.resources:
            raise ApiError(404, "notFound", self.absent.format(path=path, name=path.rpartition("/")[2]))
        return path

    def insert(self, call: Call) -> Json:
        """A new one."""
        path, resource = self.create(call, self.parent(call))
        if path in call.state.resources:
            raise self.taken(path)
        return dict(self.shown(call, call.state.add(path, resource)))

    def get(self, call: Call) -> Json:
        """One of them."""
        return dict(self.shown(call, call.state.get(self.path(call))))

    def list(self, call: Call) -> Json:
        """All of the parent."""
        found = [one for _, one in call.state.under(self.parent(call), self.collection) if self.listed(call, one)]
        size = {"totalSize": len(found)} if self.has_size else {}
        key = {"serviceAccounts": "accounts"}.get(self.collection, self.collection)
        return {key: [self.shown(call, one) for one in found], **size}

    def patch(self, call: Call) -> Json:
        """Change one, if the result is allowed."""
        resource = call.state.get(self.path(call))
        changed = self.change(call, dict(resource))
        resource.clear()
        resource.update(changed)
        return dict(self.shown(call, resource))

    def delete(self, call: Call) -> Json:
        """Delete one that nothing keeps."""
        path = self.path(call)
        self.gone(call, path)
        call.state.remove(path)
        return {}
