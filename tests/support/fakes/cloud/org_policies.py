"""Organisation policies: what is in force, and the calls that each of them refuses.

A test puts them into `Settings.org_policies` by constraint, in the words of the Resource Manager API v1, which is what
`gcloud resource-manager org-policies describe --effective` reads: `{"booleanPolicy": {"enforced": True}}` or
`{"listPolicy": {"allowedValues": [...]}}`. Constraints and their values: "Organization policy constraints" (Google's
documentation). Wherever Google's own sentence was found, its source stands at the rule; the others are marked NV.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tests.support.fakes.cloud.call import Call, answers
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.policies import project_id
from tests.support.fakes.cloud.state import State

Json = dict[str, Any]
Rule = Callable[[Call, Json], None]
ENFORCED: dict[str, list[tuple[str, Rule]]] = {}
BOOLEAN = frozenset(
    {
        *("compute.requireShieldedVm", "compute.disableGuestAttributesAccess", "compute.requireOsLogin"),
        *("compute.disableSerialPortAccess", "iam.disableServiceAccountCreation"),
        *("storage.uniformBucketLevelAccess", "storage.publicAccessPrevention"),
    }
)
LISTS = frozenset(
    {
        *("compute.vmExternalIpAccess", "compute.trustedImageProjects", "gcp.resourceLocations"),
        *("compute.restrictSharedVpcSubnetworks", "compute.restrictCloudNATUsage", "compute.requireVpcFlowLogs"),
        *("gcp.restrictNonCmekServices", "gcp.restrictCmekCryptoKeyProjects"),
        *("compute.restrictNonConfidentialComputing", "gcp.restrictServiceUsage"),
    }
)
GROUPS = {"us": ("us",), "europe": ("europe",), "asia": ("asia",), "eu": ("eu", "europe-west1", "europe-west3")}
"""Of `in:GROUP-locations` as much as tests need; a region's or zone's own group holds what begins with its name."""


@answers("cloudresourcemanager.projects.getEffectiveOrgPolicy")
def effective_policy(call: Call) -> Json:
    """What is in force for a constraint, its default where nobody set anything."""
    project_id(call.state, call.parameters["resource"].rpartition("/")[2])
    name = call.body.get("constraint", "").removeprefix("constraints/")
    if name not in BOOLEAN | LISTS:
        raise ApiError(400, "badRequest", f"The constraint constraints/{name} is not known.")
    default: Json = {"booleanPolicy": {}} if name in BOOLEAN else {"listPolicy": {"allValues": "ALLOW"}}
    return {"constraint": f"constraints/{name}", **call.state.settings.org_policies.get(name, default)}


def check_policies(call: Call) -> None:
    """Refuse what a policy in force refuses."""
    for constraint, rule in ENFORCED.get(call.method.id, ()):
        policy = call.state.settings.org_policies.get(constraint)
        if policy is not None and (constraint in LISTS or policy.get("booleanPolicy", {}).get("enforced")):
            rule(call, policy)


def enforces(constraint: str, *method_ids: str) -> Callable[[Rule], Rule]:
    """Make a function the judge of these methods while the constraint is in force."""
    assert constraint in BOOLEAN | LISTS, constraint

    def register(rule: Rule) -> Rule:
        for method_id in method_ids:
            ENFORCED.setdefault(method_id, []).append((constraint, rule))
        return rule

    return register


def allows(policy: Json, *names: str) -> bool:
    """Whether a list policy lets a value through, which may have several names."""
    listed = policy.get("listPolicy", {})
    if listed.get("allValues") in ("ALLOW", "DENY"):
        return bool(listed["allValues"] == "ALLOW")
    if any(_means(value, name) for value in listed.get("deniedValues", ()) for name in names):
        return False
    allowed = listed.get("allowedValues", ())
    return not allowed or any(_means(value, name) for value in allowed for name in names)


def _means(value: str, name: str) -> bool:
    if value.startswith("in:"):
        group = value.removeprefix("in:").removesuffix("-locations")
        return any(name == one or name.startswith(f"{one}-") for one in GROUPS.get(group, (group,)))
    if value.startswith("under:"):
        return f"{name}/".startswith(f"{value.removeprefix('under:')}/")
    return value.removeprefix("is:") == name


def broken(state: State, constraint: str, rest: str, *, of: str = "") -> ApiError:
    """412, conditionNotMet: how Compute says that a constraint is violated."""
    project = of or state.settings.project
    return ApiError(
        412, "conditionNotMet", f"Constraint constraints/{constraint} violated for project {project}. {rest}"
    )


def images(call: Call) -> Iterator[str]:
    """Paths of the images that a body makes disks from."""
    sources = [call.body.get("sourceImage")]
    sources += [disk.get("initializeParams", {}).get("sourceImage") for disk in call.body.get("disks", [])]
    yield from (call.resolve(source) for source in sources if source)


def made(call: Call, collection: str) -> str:
    """The path of what an insert makes."""
    return f"{call.parent}/{collection}/{call.body.get('name', '')}"
