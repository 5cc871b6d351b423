"""One member of one role on one thing: read the policy, change one binding, write it back with its etag."""

import re
import threading
from typing import Any, ClassVar

from tests.support.fakes.provider.fields import last
from tests.support.fakes.provider.kinds import Kind
from tests.support.fakes.provider.rest import Rest, RestError

Json = dict[str, Any]
WRITING = threading.Lock()
"""The real provider, too, writes policies one after another; somebody else's write shows as 409 and is tried again."""
ATTEMPTS = 5
PARTS = re.compile(
    r"(?P<resource>.+?)/(?P<role>(?:(?:projects|organizations)/[^/]+/)?roles/[^/]+)/(?P<member>[a-zA-Z]+:?.*)"
)


class Member(Kind):
    """What the four kinds of members share."""

    fields = ()
    defaults: ClassVar[Json] = {}
    resource: ClassVar[str]
    """Where the policy is, with its variables in braces."""
    target: ClassVar[str] = ""
    """The input that says on what."""
    get_policy: ClassVar[tuple[str, str]] = ("POST", "{}:getIamPolicy")
    set_policy: ClassVar[tuple[str, str]] = ("POST", "{}:setIamPolicy")
    prefix: ClassVar[str] = "v1/"

    @property
    def client_only(self) -> frozenset[str]:  # type: ignore[override]
        """All inputs: the binding is made of them."""
        conditions = {"condition", "condition.title", "condition.expression", "condition.description"}
        return frozenset({"role", "member", self.target, *conditions}) - {""}

    def updatable(self) -> frozenset[str]:
        """Everything is part of the id."""
        return frozenset()

    def id_of(self, inputs: Json) -> str:
        """Thing, role, member."""
        named = {**inputs, self.target: last(inputs.get(self.target, ""))}
        return f"{self.resource.format_map(named)}/{inputs['role']}/{inputs['member']}"

    def variables(self, resource_id: str) -> dict[str, str]:
        """The parts of an id."""
        found = PARTS.fullmatch(resource_id)
        if found is None:
            raise ValueError(
                f"id of {self.token}: must look like THING/ROLE/MEMBER, got {resource_id}. Correct the id."
            )
        return found.groupdict()

    def _policy(self, rest: Rest, resource: str) -> Json:
        verb, path = self.get_policy
        body = {"options": {"requestedPolicyVersion": 3}} if self.token.startswith("gcp:projects/") else None
        return rest.call(verb, self.prefix + path.format(resource), body)

    def _change(self, rest: Rest, resource_id: str, condition: Json | None, *, is_wanted: bool) -> None:
        parts = self.variables(resource_id)
        for attempt in range(1, ATTEMPTS + 1):
            with WRITING:
                policy = self._policy(rest, parts["resource"])
                changed = _with_member(policy, parts["role"], parts["member"], condition, is_wanted=is_wanted)
                verb, path = self.set_policy
                body = changed if self.prefix.startswith("storage") else {"policy": changed}
                try:
                    rest.call(verb, self.prefix + path.format(parts["resource"]), body)
                except RestError as error:
                    if error.reason != "aborted" or attempt == ATTEMPTS:
                        raise
                else:
                    return

    def create(self, rest: Rest, inputs: Json) -> str:
        """Add the member."""
        resource_id = self.id_of(inputs)
        self._change(rest, resource_id, inputs.get("condition"), is_wanted=True)
        return resource_id

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """There as long as the binding has the member."""
        parts = self.variables(resource_id)
        try:
            policy = self._policy(rest, parts["resource"])
        except RestError as error:
            if error.code == 404:
                return None
            raise
        for binding in policy.get("bindings", []):
            if binding["role"] == parts["role"] and parts["member"] in binding["members"]:
                target = {self.target: last(parts["resource"])} if self.target else {}
                return {"role": parts["role"], "member": parts["member"], "etag": policy["etag"], **target}
        return None

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """Take the member out."""
        self._change(rest, resource_id, state.get("condition"), is_wanted=False)


def _with_member(policy: Json, role: str, member: str, condition: Json | None, *, is_wanted: bool) -> Json:
    bindings = [dict(one) for one in policy.get("bindings", [])]
    found = next((one for one in bindings if one["role"] == role and one.get("condition") == condition), None)
    if found is None:
        found = {"role": role, "members": [], **({"condition": condition} if condition else {})}
        bindings.append(found)
    members = [one for one in found["members"] if one != member]
    found["members"] = [*members, member] if is_wanted else members
    version = 3 if any("condition" in one for one in bindings) else policy.get("version", 1)
    kept = [one for one in bindings if one["members"]]
    return {"bindings": kept, "version": version, **({"etag": policy["etag"]} if "etag" in policy else {})}


class ProjectMember(Member):
    """On the project."""

    token = "gcp:projects/iAMMember:IAMMember"
    item = "{project}/{role}/{member}"
    resource = "{project}"
    target = "project"
    prefix = "v1/projects/"


class InstanceMember(Member):
    """On one instance."""

    token = "gcp:compute/instanceIAMMember:InstanceIAMMember"
    item = "projects/{project}/zones/{zone}/instances/{instanceName}/{role}/{member}"
    resource = "projects/{project}/zones/{zone}/instances/{instanceName}"
    target = "instanceName"
    get_policy = ("GET", "{}/getIamPolicy")
    set_policy = ("POST", "{}/setIamPolicy")
    prefix = "compute/v1/"


class SecretMember(Member):
    """On one secret."""

    token = "gcp:secretmanager/secretIamMember:SecretIamMember"
    item = "projects/{project}/secrets/{secretId}/{role}/{member}"
    resource = "projects/{project}/secrets/{secretId}"
    target = "secretId"
    get_policy = ("GET", "{}:getIamPolicy")


class BucketMember(Member):
    """On one bucket."""

    token = "gcp:storage/bucketIAMMember:BucketIAMMember"
    item = "b/{bucket}/{role}/{member}"
    resource = "b/{bucket}"
    target = "bucket"
    get_policy = ("GET", "{}/iam")
    set_policy = ("PUT", "{}/iam")
    prefix = "storage/v1/"
