"""Find what an unanswered request created, and take it into the state.

When a create gets no answer in time, Pulumi notes that it failed and nothing else: no lock, no pending operation. If
Google did carry it out, the next `up` fails with 409, or makes a second one of what has no name of its own: alert
policies, channels, budgets, secret versions. So whatever `up` would create is asked for first.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from build.cloud.checkpoint import Resource
from build.cloud.gcloud import Gcloud, GcloudError, in_parallel, told_once
from build.cloud.pending import KNOWN, Creation, Place
from build.cloud.pulumi_cli import Pulumi
from build.errors import DeployError
from deployment.refusals.cloud_errors import Kind

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What Pulumi writes for a string that is not known before something else exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """A resource of the program that the cloud has and the state does not."""

    type: str
    name: str
    id: str
    parent: str

    def sentence(self) -> str:
        """Say what will be done."""
        kind = self.type.rpartition(":")[2]
        return f"import {kind} {self.name} (would be created): the cloud has it as {self.id}"


def plan_adoptions(pulumi: Pulumi, gcloud: Gcloud, place: Place) -> tuple[tuple[Adoption, ...], tuple[str, ...]]:
    """Ask the cloud for each resource that the next `up` would create and that can exist already.

    Also tells what could not be asked for: one refusal must not keep the others out of the state.
    """
    present = {resource.urn: resource for resource in pulumi.export().resources}
    candidates = [each for each in pulumi.planned_creates() if can_exist(each, present)]
    taken = {each.id for each in present.values()}
    questions = {each.urn: partial(_found, each, gcloud, place) for each in candidates}
    answers = told_once(in_parallel(questions))
    found = [each for each in answers.values() if isinstance(each, Adoption) and each.id not in taken]
    errors = [each for each in answers.values() if isinstance(each, DeployError)]
    # Nothing can have been created through an API that is off.
    real = [each for each in errors if not (isinstance(each, GcloudError) and each.error.kind is Kind.API_DISABLED)]
    return tuple(found), tuple(problem for error in real for problem in error.problems)


def adopt(adoptions: tuple[Adoption, ...], pulumi: Pulumi) -> None:
    """Take them into the state. Killed half-way, it can be planned and done again."""
    urns = sorted({each.parent for each in adoptions})
    keys = {urn: f"parent{number}" for number, urn in enumerate(urns)}
    listed = [{"type": each.type, "name": each.name, "id": each.id, "parent": keys[each.parent]} for each in adoptions]
    pulumi.adopt(listed, {key: urn for urn, key in keys.items()})


def can_exist(planned: Resource, present: Collection[str]) -> bool:
    """Whether it can have been created: it can be asked for, and all that it needs is there. Pure."""
    return planned.type in KNOWN and planned.parent in present and all(urn in present for urn in planned.dependencies)


def _found(planned: Resource, gcloud: Gcloud, place: Place) -> Adoption | None:
    inputs = {key: value for key, value in planned.inputs.items() if value != UNKNOWN}
    creation, known = Creation(type=planned.type, inputs=inputs, place=place), KNOWN[planned.type]
    answer = gcloud.ask_or_none(f"ask for {planned.name}", *creation.full(known.describe).split())
    identity = known.find(creation, answer)
    if identity is None:
        return None
    return Adoption(type=planned.type, name=planned.name, id=identity, parent=str(planned.parent))
