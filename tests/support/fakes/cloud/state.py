"""Everything the cloud remembers, and the clock of its long-running operations."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.fakes.cloud.errors import ApiError, already_exists, not_found
from tests.support.fakes.cloud.machines import Machines

Json = dict[str, Any]
DAY_S = 86_400.0
PREFIX = "https://www.googleapis.com/compute/v1/"
SERVICES = (
    *("compute", "iam", "cloudresourcemanager", "secretmanager", "storage", "monitoring", "billingbudgets"),
    *("serviceusage", "iap", "oslogin", "logging"),
)


def now() -> str:
    """The time in Google's form."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def path_of(reference: str, *, project: str = "", scope: str = "") -> str:
    """The bare path that a full, partial or scoped reference means."""
    path = reference.split("/compute/v1/", 1)[-1].split("/compute/beta/", 1)[-1].strip("/")
    if path.startswith(("zones/", "regions/", "global/")):
        return f"projects/{project}/{path}"
    return path if path.startswith("projects/") or not scope else f"projects/{project}/{scope}/{path}"


@dataclass(eq=False)
class Settings:
    """What a test may choose about the cloud."""

    project: str = "axion-test"
    number: str = "123456789012"
    operation_delay_s: float = 0.0
    cpu_limits: dict[str, float] = field(default_factory=dict)
    """C4A_CPUS by region; a region without an entry has `default_cpu_limit`."""
    default_cpu_limit: float = 500.0
    stockout_zones: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=lambda: {f"{name}.googleapis.com" for name in SERVICES})
    billing_accounts: tuple[str, ...] = ("012345-6789AB-CDEF01",)
    host_projects: set[str] = field(default_factory=set)
    """Projects whose Shared VPC this project is attached to."""
    caller_is_owner: bool = True
    """Whether the caller may act as every account of the project, or only as those with a grant."""
    days_passed: float = 0.0
    """How far this cloud's calendar is ahead of ours: what Google keeps or forbids for a time can be waited for."""
    org_policies: dict[str, Json] = field(default_factory=dict)
    """By constraint without its prefix; see `org_policies`."""
    caller: str = ""
    """The e-mail address of who calls without a token; the project's owner when empty."""
    tokens: dict[str, str] = field(default_factory=dict)
    """Whose a token is."""
    holds: dict[str, set[str]] = field(default_factory=dict)
    """The permissions of a caller; all of them where nothing is said."""
    billing_enabled: bool = True
    iam_delay_s: float = 0.0
    """For how long after its creation a service account cannot be granted anything."""


@dataclass(eq=False)
class Pending:
    """An operation that has not ended yet: when it will, and what then happens."""

    path: str
    due: float
    finish: Callable[[], None]
    is_ready: Callable[[], bool] = lambda: True
    """What else has to be, such as a machine that is off."""


class State:
    """Resources by path, policies, secrets and operations. Hold `lock` while touching any of it."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.lock = threading.RLock()
        self.resources: dict[str, Json] = {}
        self.policies: dict[str, Json] = {}
        self.payloads: dict[str, str] = {}
        self.guest_attributes: dict[str, dict[str, str]] = {}
        self.contents: dict[str, str] = {}
        """What is written on each disk and kept in each snapshot, by numeric id: a namesake is another, and empty."""
        self.happened: dict[str, list[float]] = {}
        """When something was last done that Google allows only so often: what, and the times."""
        self.addresses_given = 0
        """How many ephemeral addresses there have been: the next one is another."""
        self.operations: dict[str, Json] = {}
        self.pending: list[Pending] = []
        self.machines: Machines | None = None
        self.born: dict[str, float] = {}
        """When a service account was created, in seconds of the monotonic clock."""
        self.deletions: dict[str, float] = {}
        """When something was deleted whose name stays taken, in seconds of `clock`."""
        self._numbers = itertools.count(4_611_686_018_427_387_905, 7)

    def number(self) -> str:
        """A fresh uint64 as the string of digits that JSON needs."""
        return str(next(self._numbers))

    def clock(self) -> float:
        """Seconds by this cloud's calendar."""
        return time.time() + self.settings.days_passed * DAY_S

    def days_since_deletion(self, path: str) -> float | None:
        """How long ago something was deleted; None when it was not."""
        return (self.clock() - self.deletions[path]) / DAY_S if path in self.deletions else None

    def get(self, path: str) -> Json:
        """A resource, or 404 in Compute's words."""
        if path not in self.resources:
            raise not_found(path)
        return self.resources[path]

    def add(self, path: str, resource: Json) -> Json:
        """Remember a new resource, or 409."""
        if path in self.resources:
            raise already_exists(path)
        self.resources[path] = resource
        return resource

    def write(self, path: str, text: str) -> None:
        """What a host does with a disk: a test leaves its marker there."""
        self.contents[self.get(path)["id"]] = text

    def written(self, path: str) -> str:
        """What is on a disk or in a snapshot; nothing on a new one."""
        return self.contents.get(self.get(path)["id"], "")

    def copy(self, source: str, target: str, resource: Json) -> None:
        """A resource that is about to be at `target` begins with what the one at `source` holds."""
        origin = self.get(source)["id"]
        if origin in self.contents:
            self.contents[resource["id"]] = self.contents[origin]
        if self.machines is not None:
            self.machines.copied(source, target)

    def may_happen(self, what: str, most: int, seconds: float) -> bool:
        """Whether something may be done once more, and that it is done now."""
        now_s = self.clock()
        recent = [one for one in self.happened.get(what, []) if one > now_s - seconds]
        self.happened[what] = recent if len(recent) >= most else [*recent, now_s]
        return len(recent) < most

    def remove(self, path: str) -> None:
        """Forget a resource, its policy, and what was on it."""
        self.contents.pop(self.resources.pop(path, {}).get("id", ""), None)
        self.policies.pop(path, None)
        self.guest_attributes.pop(path, None)
        if self.machines is not None:
            self.machines.removed(path)

    def under(self, prefix: str, collection: str = "") -> Iterator[tuple[str, Json]]:
        """Resources below a path, of one collection if given, in order of their paths."""
        for path in sorted(self.resources):
            if path.startswith(f"{prefix}/") and (not collection or path.split("/")[-2] == collection):
                yield path, self.resources[path]

    def advance(self) -> None:
        """End every operation whose time has come, oldest first."""
        clock = time.monotonic()
        for pending in sorted((p for p in self.pending if p.due <= clock and p.is_ready()), key=lambda p: p.due):
            self.pending.remove(pending)
            operation = self.operations[pending.path]
            try:
                pending.finish()
            except ApiError as error:
                operation.update(
                    error={"errors": [{"code": error.reason, "message": error.message, "errorDetails": error.details}]},
                    httpErrorStatusCode=error.code,
                    httpErrorMessage=error.status.replace("_", " "),
                )
            operation.update(status="DONE", progress=100, endTime=now())

    def snapshot(self) -> Json:
        """All of it as JSON, for assertions; payloads of secrets are shown by length only."""
        return {
            "resources": self.resources,
            "policies": self.policies,
            "secrets": {path: len(payload) for path, payload in self.payloads.items()},
            "guestAttributes": self.guest_attributes,
            "contents": self.contents,
            "operations": self.operations,
        }
