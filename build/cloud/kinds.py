"""Every kind of thing that a stack makes: how gcloud lists it, whose it is, and how it is removed.

The order is the order of removal: what uses something goes before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Item = Mapping[str, Any]
Argv = tuple[str, ...]
LABEL = "axion-stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of resource."""

    name: str
    list: Argv
    """gcloud's command that lists it."""
    remove: Callable[[Item], Argv]
    """gcloud's command that removes one."""
    label: str | None = None
    """The field with labels, for what can carry them; whatever cannot is known by its name."""
    identity: str = "name"
    """The field with the name that is told apart by stack."""
    unlabelled: tuple[str, ...] = ()
    """For what can carry labels and may have none: fields whose last part has the stack's name then."""
    is_free: bool = False
    """Whether Google charges nothing for having one. What is neither free nor in the catalog has an unknown price."""

    @property
    def plural(self) -> str:
        """Several of them, in English."""
        if self.name.endswith("s"):
            return f"{self.name}es"
        return f"{self.name[:-1]}ies" if self.name.endswith("y") else f"{self.name}s"

    def filter(self, stack: str) -> str:
        """What gcloud is asked for: a little too much at worst, since `belongs` looks again."""
        # A regular expression, which gcloud evaluates: a role's id stands after its project and takes no hyphen.
        named = f"~axion[-_]{stack.replace('-', '[-_]')}[-_]"
        if self.label is None:
            return f"{self.identity}{named}"
        return " OR ".join([f"{self.label}.{LABEL}={stack}", *(f"{field}{named}" for field in self.unlabelled)])


def last(value: object) -> str:
    """The name at the end of a URL or path."""
    return str(value or "").rstrip("/").rpartition("/")[2]


def place(item: Item) -> Argv:
    """Where it is, as gcloud's flag."""
    for key in ("zone", "region"):
        if item.get(key):
            return (f"--{key}={last(item[key])}",)
    return ()


def _named(*verb: str, at_place: bool = True) -> Callable[[Item], Argv]:
    return lambda item: (*verb, last(item["name"]), *(place(item) if at_place else ()))


def _address(item: Item) -> Argv:
    return ("compute", "addresses", "delete", item["name"], *(place(item) or ("--global",)))


def _binding(item: Item) -> Argv:
    project, member, role = (str(item[key]) for key in ("project", "member", "role"))
    return (
        "projects",
        "remove-iam-policy-binding",
        project,
        f"--member={member}",
        f"--role={role}",
        "--condition=None",
    )


def _bucket(item: Item) -> Argv:
    return ("storage", "rm", "--recursive", f"gs://{item['name']}")


def _monitoring(*verb: str) -> Callable[[Item], Argv]:
    """These are known by numbers alone, below the project's own name."""
    return lambda item: (*verb, str(item["name"]))


def budget(billing_account: str) -> Kind:
    """A budget is the billing account's and no project's; only the stack's file says which account."""
    return Kind(
        name="budget",
        list=("billing", "budgets", "list", f"--billing-account={billing_account}"),
        identity="displayName",
        is_free=True,
        remove=lambda item: ("billing", "budgets", "delete", str(item["name"])),
    )


KINDS = (
    Kind(
        name="alert policy",
        list=("alpha", "monitoring", "policies", "list"),
        label="userLabels",
        remove=_monitoring("alpha", "monitoring", "policies", "delete"),
    ),
    Kind(
        name="notification channel",
        list=("beta", "monitoring", "channels", "list"),
        label="userLabels",
        is_free=True,
        remove=_monitoring("beta", "monitoring", "channels", "delete"),
    ),
    Kind(
        name="instance",
        list=("compute", "instances", "list"),
        label="labels",
        remove=_named("compute", "instances", "delete"),
    ),
    Kind(name="disk", list=("compute", "disks", "list"), label="labels", remove=_named("compute", "disks", "delete")),
    Kind(
        name="snapshot",
        list=("compute", "snapshots", "list"),
        label="labels",
        # What the provider makes before it deletes a disk has the disk's name and the time, and no label.
        unlabelled=("sourceDisk", "name"),
        remove=_named("compute", "snapshots", "delete", at_place=False),
    ),
    Kind(
        name="address",
        list=("compute", "addresses", "list"),
        label="labels",
        unlabelled=("name",),
        remove=_address,
    ),
    Kind(
        name="snapshot schedule",
        list=("compute", "resource-policies", "list"),
        is_free=True,
        remove=_named("compute", "resource-policies", "delete"),
    ),
    Kind(
        name="firewall rule",
        list=("compute", "firewall-rules", "list"),
        is_free=True,
        remove=_named("compute", "firewall-rules", "delete"),
    ),
    # Its NAT gateway costs, by the hour and by the gigabyte.
    Kind(name="router", list=("compute", "routers", "list"), remove=_named("compute", "routers", "delete")),
    Kind(
        name="subnet",
        list=("compute", "networks", "subnets", "list"),
        is_free=True,
        remove=_named("compute", "networks", "subnets", "delete"),
    ),
    Kind(
        name="network",
        list=("compute", "networks", "list"),
        is_free=True,
        remove=_named("compute", "networks", "delete"),
    ),
    Kind(name="role grant", list=("projects", "get-iam-policy"), identity="member", is_free=True, remove=_binding),
    Kind(
        name="service account",
        list=("iam", "service-accounts", "list"),
        identity="email",
        is_free=True,
        remove=lambda item: ("iam", "service-accounts", "delete", str(item["email"])),
    ),
    Kind(
        name="custom role",
        list=("iam", "roles", "list"),
        is_free=True,
        remove=_named("iam", "roles", "delete", at_place=False),
    ),
    Kind(
        name="secret",
        list=("secrets", "list"),
        label="labels",
        remove=_named("secrets", "delete", at_place=False),
    ),
    Kind(name="bucket", list=("storage", "buckets", "list"), label="labels", remove=_bucket),
)
