"""Which of the organisation's policies would refuse what this stack makes, and what to set instead.

Read with `gcloud resource-manager org-policies describe --effective`: it needs no API beyond those that the stack needs
anyway. The managed constraints (`compute.managed.*`, `iam.managed.*`) are of the newer Org Policy API alone and are not
read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from build.check import Check
from build.cloud.gcloud import Gcloud, in_parallel
from build.cloud.images import ImageName
from build.cloud.permissions import makes_accounts, makes_network, uses_own_subnet
from build.cloud.policy import Policy
from build.cloud.subject import Subject
from build.errors import DeployError

TIMEOUT_S = 30.0
EXCEPTION = "ask the organisation for an exception for this project"
Finding = tuple[bool | None, str]
"""What a policy says to the stack, False or None for "cannot be told from here", and the sentence with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A constraint, for which stacks it matters, and what it says to one."""

    name: str
    matters: Callable[[Subject], bool]
    judge: Callable[[Policy, Subject], Iterator[Finding]]


def policy_checks(subject: Subject, gcloud: Gcloud) -> list[Check]:
    """One finding for each thing that a policy would refuse; one in all where they cannot be read."""
    asked = [each for each in CONSTRAINTS if each.matters(subject)]
    answers = in_parallel({each.name: partial(_effective, each.name, gcloud) for each in asked})
    found, unread = list[Check](), list[DeployError]()
    for each in asked:
        answer = answers[each.name]
        if isinstance(answer, DeployError):
            unread.append(answer)
        else:
            found += judged(each, answer, subject)
    if unread:
        why = " ".join(unread[0].problems)
        found.append(Check("org policies", "warn", f"{len(unread)} of {len(asked)} could not be read: {why}"))
    elif not found:
        found.append(Check("org policies", "pass", f"{len(asked)} that matter, none refuses this stack"))
    return found


def judged(constraint: Constraint, policy: Policy, subject: Subject) -> list[Check]:
    """What one policy would refuse."""
    name = f"org policy {constraint.name}"
    return [
        Check(name, "warn", f"perhaps {finding}, got {policy.shown}")
        if verdict is None
        else Check(name, "fail", finding)
        for verdict, finding in constraint.judge(policy, subject)
        if not verdict
    ]


def _effective(name: str, gcloud: Gcloud) -> Policy:
    words = ("resource-manager", "org-policies", "describe", name, "--effective")
    return Policy.parse(gcloud.ask(f"read the org policy {name}", *words, timeout_s=TIMEOUT_S) or {})


def _external_ip(policy: Policy, subject: Subject) -> Iterator[Finding]:
    for name, host in subject.settings.hosts.items():
        if host.public_ip is not None:
            advice = f"delete its publicIp and reach it through IAP, or {EXCEPTION}"
            yield policy.allows(subject.instance(name)), f"host {name} may have no external address: {advice}"


def _shielded(policy: Policy, subject: Subject) -> Iterator[Finding]:
    yield not policy.is_enforced, "instances need secure boot: set axion:secureBoot to true"


def _images(policy: Policy, subject: Subject) -> Iterator[Finding]:
    own = subject.settings.project
    for reference in subject.images:
        owner = ImageName.parse(reference, own).project
        advice = f"set the host's image to one of an allowed project's or your own, or {EXCEPTION}"
        yield owner == own or policy.allows(f"projects/{owner}"), f"images of {owner} are not trusted: {advice}"


def _locations(policy: Policy, subject: Subject) -> Iterator[Finding]:
    settings = subject.settings
    for zone in sorted({settings.zone_of(name) for name in settings.hosts}):
        yield policy.allows(zone), f"nothing may be made in {zone}: set gcp:zone or the host's zone to an allowed one"
    region = settings.region
    yield policy.allows(region), f"no subnet, snapshot or bucket may be made in {region}: use another region"
    for replica in sorted({*settings.replicas} - {region}):
        yield policy.allows(replica), f"no secret may be kept in {replica}: set axion:secretRegions to allowed ones"
    if not settings.replicas:
        advice = f"set axion:secretRegions to allowed regions such as [{region}]"
        yield policy.allows("global"), f"secrets that Google replicates by itself are of the location global: {advice}"


def _guest_attributes(policy: Policy, subject: Subject) -> Iterator[Finding]:
    why = "hosts publish their keys as guest attributes, which nobody may read: fab would know no host"
    yield not policy.is_enforced, f"{why}; {EXCEPTION}"


def _accounts(policy: Policy, subject: Subject) -> Iterator[Finding]:
    advice = f"have one made for each host and set its serviceAccount, or {EXCEPTION}"
    yield not policy.is_enforced, f"no service account may be made: {advice}"


def _nat(policy: Policy, subject: Subject) -> Iterator[Finding]:
    advice = f"set axion:network.subnetwork to one that has a way out, or {EXCEPTION}"
    yield policy.allows(subject.subnetwork), f"the subnet may not use Cloud NAT: {advice}"


def _shared_subnet(policy: Policy, subject: Subject) -> Iterator[Finding]:
    advice = "set axion:network.subnetwork to an allowed one"
    yield policy.allows(subject.subnetwork), f"{subject.subnetwork} may not be used from here: {advice}"


def _key_project(policy: Policy, subject: Subject) -> Iterator[Finding]:
    project = (subject.settings.kms_key or "").split("/")[1]
    yield policy.allows(f"projects/{project}"), f"keys of {project} may not be used here: set axion:kmsKey to another"


def _flow_logs(policy: Policy, subject: Subject) -> Iterator[Finding]:
    yield not policy.allowed, "subnets need flow logs: set axion:network.flowLogs to true"


def _customer_keys(policy: Policy, subject: Subject) -> Iterator[Finding]:
    services = ("compute", "secretmanager", *(("storage",) if subject.settings.bucket else ()))
    for service in services:
        advice = "set axion:kmsKey"
        yield policy.allows(f"{service}.googleapis.com"), f"{service} makes nothing without a key of your own: {advice}"


def _confidential(policy: Policy, subject: Subject) -> Iterator[Finding]:
    why = "instances must be confidential, which Axion machines are not"
    yield policy.allows("compute.googleapis.com"), f"{why}; {EXCEPTION}"


def _always(subject: Subject) -> bool:
    return True


CONSTRAINTS = (
    Constraint(
        name="compute.vmExternalIpAccess",
        matters=lambda subject: any(host.public_ip for host in subject.settings.hosts.values()),
        judge=_external_ip,
    ),
    Constraint(
        name="compute.requireShieldedVm", matters=lambda subject: not subject.settings.secure_boot, judge=_shielded
    ),
    Constraint(name="compute.trustedImageProjects", matters=_always, judge=_images),
    Constraint(name="gcp.resourceLocations", matters=_always, judge=_locations),
    Constraint(name="compute.disableGuestAttributesAccess", matters=_always, judge=_guest_attributes),
    Constraint(
        name="iam.disableServiceAccountCreation", matters=lambda it: makes_accounts(it.settings), judge=_accounts
    ),
    Constraint(name="compute.restrictCloudNATUsage", matters=lambda it: makes_network(it.settings), judge=_nat),
    Constraint(
        name="compute.requireVpcFlowLogs",
        matters=lambda it: makes_network(it.settings) and not it.settings.network.flow_logs,
        judge=_flow_logs,
    ),
    Constraint(
        name="compute.restrictSharedVpcSubnetworks",
        matters=lambda it: not uses_own_subnet(it.settings),
        judge=_shared_subnet,
    ),
    Constraint(
        name="gcp.restrictNonCmekServices", matters=lambda it: it.settings.kms_key is None, judge=_customer_keys
    ),
    Constraint(
        name="gcp.restrictCmekCryptoKeyProjects", matters=lambda it: it.settings.kms_key is not None, judge=_key_project
    ),
    Constraint(name="compute.restrictNonConfidentialComputing", matters=_always, judge=_confidential),
)
