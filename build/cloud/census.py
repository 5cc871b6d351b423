"""Count what a stack has in the cloud, with what each costs a month, by asking Google and not Pulumi's state."""

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from build.cloud.costs import monthly_usd
from build.cloud.gcloud import Gcloud, GcloudError, in_parallel, told_once
from build.cloud.kinds import KINDS, LABEL, Item, Kind, budget, last
from build.errors import DeployError
from deployment.quantities import shown_bytes
from deployment.refusals.cloud_errors import Kind as ErrorKind
from deployment.stack.catalog import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that belongs to the stack."""

    kind: Kind
    item: Item
    monthly_usd: float | None
    """None where the price is unknown."""

    @property
    def name(self) -> str:
        """What to call it: grants are told apart by their role."""
        if "member" in self.item:
            return f"{self.item['member']} {self.item['role']}"
        # Google knows these by numbers alone; a person knows them by what they were called.
        called = self.item.get("displayName") if self.kind.label == "userLabels" else None
        return str(called or last(self.item[self.kind.identity]))

    @property
    def place(self) -> str:
        return last(self.item.get("zone") or self.item.get("region")) or "-"

    @property
    def remark(self) -> str:
        """What tells whether anybody needs it: a disk that nothing uses since when, a snapshot of what and when."""
        item, gib = self.item, self.item.get("sizeGb")
        if self.kind.name == "disk":
            since = str(item.get("lastDetachTimestamp") or "")[:10]
            unused = f", unattached since {since}" if since else ", never attached"
            return f"{gib} GiB{'' if item.get('users') else unused}"
        if self.kind.name == "snapshot":
            made = str(item.get("creationTimestamp") or "")[:10]
            size = shown_bytes(int(item.get("storageBytes") or 0))
            return ", ".join(part for part in (f"of {last(item.get('sourceDisk'))}", made, size) if part)
        return "unused" if self.kind.name == "address" and item.get("status") == "RESERVED" else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Everything of a stack, in the order in which it can be removed."""

    stack: str
    project: str
    found: tuple[Found, ...]
    switched_off: tuple[str, ...]
    """Kinds whose API is off in the project: there is none of them that could be used."""

    @property
    def is_empty(self) -> bool:
        return not self.found

    @property
    def known_monthly_usd(self) -> float:
        """The sum of the known prices: a lower bound."""
        return sum(each.monthly_usd or 0.0 for each in self.found)

    @property
    def unknown(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.found if each.monthly_usd is None)


def take_census(
    gcloud: Gcloud,
    stack: str,
    catalog: Catalog,
    other_stacks: Collection[str] = (),
    billing_account: str | None = None,
) -> Census:
    """Look for every kind at once. Raises DeployError when a kind cannot be looked for: half a census proves nothing.

    `other_stacks` are the stacks known to the caller; one called `dev-2` would otherwise seem a part of `dev`.
    """
    kinds = (*KINDS, *([budget(billing_account)] if billing_account else ()))
    answers = in_parallel({kind.name: partial(_list, gcloud, kind, stack) for kind in kinds})
    refused = {name: answer for name, answer in answers.items() if isinstance(answer, DeployError)}
    off = {name for name, error in refused.items() if _is_switched_off(error)}
    told = told_once({name: error for name, error in refused.items() if name not in off}).values()
    problems = [problem for error in told for problem in error.problems]
    if problems:
        raise DeployError(*problems)
    items = {name: answer for name, answer in answers.items() if not isinstance(answer, DeployError)}
    others = {*other_stacks, *_stacks_seen(items)} - {stack}
    found = [
        Found(kind=kind, item=item, monthly_usd=0.0 if kind.is_free else monthly_usd(kind.name, item, catalog))
        for kind in kinds
        for item in items.get(kind.name, ())
        if belongs(kind, item, stack, others)
    ]
    return Census(stack=stack, project=gcloud.project, found=tuple(found), switched_off=tuple(sorted(off)))


def belongs(kind: Kind, item: Item, stack: str, other_stacks: Iterable[str] = ()) -> bool:
    """Whose a thing is: by its label, and where it can carry none, by its name."""
    label = (item.get(kind.label) or {}).get(LABEL) if kind.label else None
    if label is not None:
        return bool(label == stack)
    if item.get("deleted"):
        return False  # a role stays for a week after it was deleted, and can be had back
    longer = [other for other in other_stacks if other.startswith(f"{stack}-")]
    names = [_bare(item.get(field)) for field in ((kind.identity,) if kind.label is None else kind.unlabelled)]
    return any(_is_prefixed(name, stack) and not any(_is_prefixed(name, other) for other in longer) for name in names)


def _bare(value: object) -> str:
    return last(value).removeprefix("serviceAccount:").removeprefix("deleted:serviceAccount:")


def _is_prefixed(name: str, stack: str) -> bool:
    return re.sub("_", "-", name).startswith(f"axion-{stack}-")


def removal_commands(census: Census) -> list[str]:
    """Say how to remove everything, in an order that works, ready for a shell."""
    commands: list[Sequence[str]] = []
    deleted_along = {link for each in census.found for link in _boot_disks(each.item)}
    for each in census.found:
        if each.item.get("deletionProtection"):
            zone = last(each.item["zone"])
            commands.append(("compute", "instances", "update", each.name, f"--zone={zone}", "--no-deletion-protection"))
        if _link(each.item) not in deleted_along:
            commands.append(each.kind.remove(each.item))
    return [shlex.join(("gcloud", *words, f"--project={census.project}", "--quiet")) for words in commands]


def _boot_disks(item: Item) -> list[str]:
    """Disks that go with their instance: a command for them would find nothing."""
    return [_path(disk["source"]) for disk in item.get("disks", ()) if disk.get("autoDelete") and disk.get("source")]


def _link(item: Item) -> str | None:
    return _path(item["selfLink"]) if item.get("selfLink") else None


def _path(link: str) -> str:
    return link[link.find("/projects/") :]


def _list(gcloud: Gcloud, kind: Kind, stack: str) -> list[Item]:
    what = f"list {kind.plural}"
    if kind.name == "role grant":
        policy = gcloud.ask(what, *kind.list, gcloud.project, is_scoped=False)
        return _grants(policy or {}, gcloud.project)
    items = gcloud.ask(what, *kind.list, f"--filter={kind.filter(stack)}")
    return list(items or ())


def _grants(policy: Any, project: str) -> list[Item]:
    """One item for each member of each role, in an order that does not change from one look to the next."""
    granted = [
        (member, binding["role"]) for binding in policy.get("bindings", ()) for member in binding.get("members", ())
    ]
    return [{"member": member, "role": role, "project": project} for member, role in sorted(granted)]


def _is_switched_off(error: DeployError) -> bool:
    return isinstance(error, GcloudError) and error.error.kind is ErrorKind.API_DISABLED


def _stacks_seen(items: Mapping[str, Sequence[Item]]) -> set[str]:
    """Stacks that have a network: without one nothing else of a stack can be."""
    ending = "-vpc"
    names = [str(item.get("name", "")) for item in items.get("network", ())]
    return {name.removeprefix("axion-").removesuffix(ending) for name in names if name.endswith(ending)}
