"""Bring a stack back to a state from which `pulumi up` goes on, after a run of it was killed or cut off.

Such a run leaves a lock, and for what it was doing a pending operation. A create in flight may or may not have
happened: the next `up` would make a second one, or fail because there is one. Google knows; so it is asked, and the
answer goes into the state.

`pulumi refresh --import-pending-creates` is not used: CLI 3.259 turns the operation into an import that nothing carries
out, and the resource is forgotten [executed, November 2026]. Instead the checkpoint is exported, the created resource
is put into it with its id, it is imported again, and a refresh of just these resources reads what they really are.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from build.cloud.checkpoint import Operation, Resource
from build.cloud.gcloud import Gcloud, in_parallel, told_once
from build.cloud.locks import Lock, read_locks, release, why_kept
from build.cloud.pending import KNOWN, REPEATABLE, Creation, Known, Place
from build.cloud.pulumi_cli import Pulumi
from build.errors import DeployError

Verdict = Literal["import", "clear", "refresh", "wait"]
PROVIDER = "pulumi:providers:gcp"
INSTANCE = "gcp:compute/instance:Instance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What will become of one pending operation."""

    urn: str
    operation: str
    verdict: Verdict
    why: str
    id: str | None = None

    @property
    def name(self) -> str:
        kind, name = self.urn.split("::")[-2:]
        return f"{kind.rpartition(':')[2]} {name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Everything that was left behind, and what will become of it."""

    locks: tuple[Lock, ...]
    steps: tuple[Step, ...]

    @property
    def is_nothing(self) -> bool:
        return not self.locks and not self.steps

    def sentences(self) -> Iterator[str]:
        """Say what will be done, in order."""
        for lock in self.locks:
            yield f"release the lock of {lock.owner}: that process is gone"
        for step in self.steps:
            yield f"{step.verdict} {step.name} (was {step.operation}): {step.why}"


def plan_recovery(pulumi: Pulumi, gcloud: Gcloud, place: Place, foreign_host: str | None = None) -> Recovery:
    """Look, and decide. Raises DeployError where a lock's owner may still be at work, or an operation still runs."""
    locks = read_locks(pulumi, gcloud)
    kept = [why for lock in locks if (why := why_kept(lock, foreign_host=foreign_host))]
    if kept:
        raise DeployError(*kept)
    checkpoint = pulumi.export()
    resources = list(checkpoint.resources)
    place = Place(project_of(resources) or place.project, place.region, place.zone)
    present = {resource.urn for resource in resources}
    questions = [partial(_step, operation, present, gcloud, place) for operation in checkpoint.pending]
    answers = told_once(in_parallel({str(number): question for number, question in enumerate(questions)}))
    refused = [problem for each in answers.values() if isinstance(each, DeployError) for problem in each.problems]
    if refused:
        raise DeployError(*refused)
    steps = [each for each in answers.values() if isinstance(each, Step)]
    waiting = [f"{step.name}: {step.why}" for step in steps if step.verdict == "wait"]
    if waiting:
        raise DeployError(*waiting)
    return Recovery(locks=tuple(locks), steps=tuple(steps))


def recover(recovery: Recovery, pulumi: Pulumi, gcloud: Gcloud) -> None:
    """Do what was planned. Killed half-way, it can be run again: each part leaves a state that it understands."""
    for lock in recovery.locks:
        release(lock, gcloud)
    if not recovery.steps:
        return
    ids = {step.urn: step.id for step in recovery.steps if step.verdict == "import" and step.id}
    pulumi.replace_state(pulumi.export().settled(ids))
    urns = [step.urn for step in recovery.steps if step.verdict != "clear"]
    if urns:
        pulumi.refresh(sorted(set(urns)))
    left = pulumi.export().pending
    if left:
        names = ", ".join(operation.resource.name for operation in left)
        raise DeployError(
            f"{pulumi.stack}: not settled, got pending operations on {names}. Run the same command again."
        )


def project_of(resources: Iterable[Resource]) -> str | None:
    """The project that the stack's provider was configured with."""
    projects = (each.inputs.get("project") for each in resources if each.type == PROVIDER)
    return next((str(each) for each in projects if each), None)


def _step(operation: Operation, present: Collection[str], gcloud: Gcloud, place: Place) -> Step:
    resource, kind = operation.resource, operation.type
    urn = resource.urn
    if kind != "creating":
        why = "it is in the state; what it is now is read from the cloud"
        if kind == "updating" and resource.type == INSTANCE:
            instance = Creation(type=INSTANCE, inputs=resource.inputs, place=place)
            why += _stopped(instance, _described(instance, KNOWN[INSTANCE], "the instance", gcloud))
        return Step(urn=urn, operation=kind, verdict="refresh", why=why)
    if urn in present:
        return Step(
            urn=urn, operation=kind, verdict="refresh", why="the state has it already; it is read from the cloud"
        )
    creation = Creation(type=resource.type, inputs=resource.inputs, place=place)
    if creation.type in REPEATABLE:
        why = "granting it twice changes nothing; `pulumi up` makes sure of it"
        return Step(urn=urn, operation=kind, verdict="clear", why=why)
    known = KNOWN.get(creation.type)
    if known is None:
        if not resource.is_custom:
            return Step(urn=urn, operation=kind, verdict="clear", why="a component; the cloud knows nothing of it")
        why = f"of a kind that cannot be asked for: {creation.type}. Look in the console, then `pulumi refresh`."
        return Step(urn=urn, operation=kind, verdict="wait", why=why)
    return _asked(urn, kind, creation, known, gcloud)


def _stopped(creation: Creation, answer: Any) -> str:
    """A new machine type, or Google's taking back a spot machine, stops an instance; no later `up` starts it."""
    if creation.type != INSTANCE or (answer or {}).get("status") not in {"STOPPING", "TERMINATED"}:
        return ""
    return creation.full("; it is stopped, and you start it: `gcloud compute instances start {name} --zone={zone}`")


def _described(creation: Creation, known: Known, name: str, gcloud: Gcloud) -> Any:
    return gcloud.ask_or_none(f"ask for {name}", *creation.full(known.describe).split())


def _asked(urn: str, kind: str, creation: Creation, known: Known, gcloud: Gcloud) -> Step:
    """Ask the cloud what became of a create. Operations first: one that ends in between is then seen as there."""
    name = urn.rpartition("::")[2]
    running = _running(creation, known, gcloud)
    answer = _described(creation, known, name, gcloud)
    if running:
        why = f"Google is still at it, got operation {running}. Wait until it has ended, then run the same command."
        return Step(urn=urn, operation=kind, verdict="wait", why=why)
    found = known.find(creation, answer)
    if found is None:
        return Step(urn=urn, operation=kind, verdict="clear", why="the cloud does not have it; `pulumi up` creates it")
    why = f"the cloud has it as {found}{_stopped(creation, answer)}"
    return Step(urn=urn, operation=kind, verdict="import", why=why, id=found)


def _running(creation: Creation, known: Known, gcloud: Gcloud) -> str | None:
    if known.operations is None:
        return None
    flags = creation.full(known.operations).split()
    listed = gcloud.ask_or_none("look for running operations", "compute", "operations", "list", *flags) or ()
    for operation in listed:
        is_ours = str(operation.get("targetLink", "")).rpartition("/")[2] == creation.get("name")
        if is_ours and operation.get("status") != "DONE":
            return str(operation.get("name"))
    return None
