"""Ask what would stop `pulumi up` on a stack, before it is run: all questions at once, each with a bound."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from build.check import Check, Verdict
from build.cloud.borrowed import borrowed_questions
from build.cloud.gcloud import Gcloud, GcloudError, in_parallel, told_once
from build.cloud.images import image_checks
from build.cloud.login import login_checks, surroundings
from build.cloud.org_policies import policy_checks
from build.cloud.pulumi_cli import Pulumi
from build.cloud.rights import rights_checks
from build.cloud.subject import Subject
from build.errors import DeployError
from build.remote.command import PAGES
from deployment.refusals.cloud_errors import Kind
from deployment.stack.catalog import Shape
from deployment.stack.disks import disk_uses
from deployment.stack.settings import HostSettings, StackSettings

QUESTION_TIMEOUT_S = 30.0
APIS = (
    "cloudresourcemanager.googleapis.com", "compute.googleapis.com", "iam.googleapis.com", "iap.googleapis.com",
    "oslogin.googleapis.com", "secretmanager.googleapis.com",
)  # fmt: skip
QUOTAS_PAGE = "https://console.cloud.google.com/iam-admin/quotas"


def stack_checks(subject: Subject, gcloud: Gcloud, pulumi: Pulumi) -> list[Check]:
    """Ask everything. A question that fails is a finding, not the end."""
    found = [_program("gcloud"), _program("pulumi")]
    questions: dict[str, Callable[[], list[Check]]] = {"price": partial(price_checks, subject)}
    if found[1].verdict == "pass":
        questions["pulumi stack"] = partial(_pulumi, subject.stack, pulumi)
    if found[0].verdict == "pass":
        questions["login"] = partial(login_checks, gcloud, subject.settings, subject.config)
        questions["APIs"] = partial(_apis, subject, gcloud)
        for zone, machine_type in sorted(_wanted(subject.settings)):
            questions[f"{machine_type} in {zone}"] = partial(_machine, zone, machine_type, gcloud)
        for zone, disk_type in sorted(_wanted_disks(subject)):
            questions[f"{disk_type} in {zone}"] = partial(_disk_type, zone, disk_type, gcloud)
        questions["image"] = partial(image_checks, subject.settings, gcloud)
        questions |= borrowed_questions(subject.settings, gcloud)
        questions["org policies"] = partial(policy_checks, subject, gcloud)
        questions["permissions"] = partial(rights_checks, subject, gcloud)
        questions["quota"] = partial(_quota, subject, gcloud)
        if any(host.spot for host in subject.settings.hosts.values()):
            questions["capacity"] = partial(_capacity, subject.settings, gcloud)
    for name, answer in told_once(in_parallel(questions)).items():
        if isinstance(answer, DeployError):
            found += [_refused(name, answer)]
        else:
            found += answer
    return found


def price_checks(subject: Subject) -> list[Check]:
    """What it will cost, by the catalog's dated prices."""
    total, limit = subject.bill, subject.settings.max_hourly_usd
    finding = f"{total.known_hourly_usd:.4f} USD an hour of at most {limit:g}, all hosts and disks"
    if total.unknown:
        return [Check("price", "warn", f"at least {finding}; no price for {', '.join(total.unknown)}")]
    if total.known_hourly_usd > limit:
        return [Check("price", "fail", f"{finding}. Raise axion:maxHourlyUsd, or take a smaller machine")]
    return [Check("price", "pass", finding)]


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of something a region gives, and how much of that is taken."""

    metric: str
    limit: float
    usage: float

    @classmethod
    def parse(cls, told: Any) -> "Quota":
        """Read compute.v1's Quota."""
        return cls(str(told.get("metric")), float(told.get("limit", 0)), float(told.get("usage", 0)))


def quota_checks(subject: Subject, quotas: Sequence[Quota]) -> list[Check]:
    """Whether the region's quotas leave room for the stack's processors. Google's answer may leave a metric out."""
    known = {each.metric: each for each in quotas}
    found = []
    for metric, wanted in sorted(_processors(subject).items()):
        quota = known.get(metric)
        if quota is None:
            finding = f"not told by this interface; {wanted} are needed. Look for {metric} at {QUOTAS_PAGE}"
            found.append(Check(f"quota {metric}", "warn", finding))
            continue
        limit, usage = quota.limit, quota.usage
        finding = f"{wanted} needed by this stack, {usage:g} of {limit:g} in use in {subject.settings.region}"
        if wanted > limit:
            found.append(Check(f"quota {metric}", "fail", f"{finding}. Ask for more at {QUOTAS_PAGE}"))
        elif wanted > limit - usage:
            advice = "unless this stack is what uses them, ask for more at"
            found.append(Check(f"quota {metric}", "warn", f"{finding}; {advice} {QUOTAS_PAGE}"))
        else:
            found.append(Check(f"quota {metric}", "pass", finding))
    return found


def api_checks(settings: StackSettings, enabled: set[str], *, impersonates: bool = False) -> list[Check]:
    """Which of the APIs that this stack calls are off."""
    wanted = {*APIS, *(("storage.googleapis.com",) if settings.bucket else ())}
    wanted |= {"monitoring.googleapis.com"} if settings.alerts else set()
    wanted |= {"billingbudgets.googleapis.com"} if settings.budget else set()
    wanted |= {"cloudkms.googleapis.com"} if settings.kms_key else set()
    wanted |= {"iamcredentials.googleapis.com"} if impersonates else set()
    missing = sorted(wanted - enabled)
    if missing:
        return [Check("APIs", "fail", f"off: {', '.join(missing)}. Run `gcloud services enable {' '.join(missing)}`")]
    return [Check("APIs", "pass", f"{len(wanted)} needed, all on")]


def _program(name: str) -> Check:
    path = shutil.which(name)
    return Check(name, "pass", path) if path else Check(name, "fail", f"not on PATH. Install it: {PAGES[name]}")


def _pulumi(stack: str, pulumi: Pulumi) -> list[Check]:
    backend = pulumi.backend()
    found = [Check("pulumi backend", "pass", backend)]
    if stack in pulumi.stacks():
        found.append(Check("pulumi stack", "pass", stack))
    else:
        found.append(Check("pulumi stack", "fail", f"{stack} is not in it. Run `pulumi stack init {stack}`"))
    if not (os.environ.get("PULUMI_CONFIG_PASSPHRASE") or os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")):
        advice = "`pulumi` will ask for it unless the stack's secrets provider is another one"
        found.append(Check("pulumi passphrase", "warn", f"PULUMI_CONFIG_PASSPHRASE(_FILE) is not set; {advice}"))
    return found


def _apis(subject: Subject, gcloud: Gcloud) -> list[Check]:
    listed = gcloud.ask("list the enabled APIs", "services", "list", "--enabled", timeout_s=QUESTION_TIMEOUT_S)
    enabled = {str((each.get("config") or {}).get("name")) for each in listed or ()}
    return api_checks(subject.settings, enabled, impersonates=bool(surroundings(subject.config).impersonated))


def _wanted(settings: StackSettings) -> set[tuple[str, str]]:
    return {(settings.zone_of(name), host.machine_type) for name, host in settings.hosts.items()}


def _machine(zone: str, machine_type: str, gcloud: Gcloud) -> list[Check]:
    name = f"{machine_type} in {zone}"
    described = gcloud.ask_or_none(
        name, "compute", "machine-types", "describe", machine_type, f"--zone={zone}", timeout_s=QUESTION_TIMEOUT_S
    )
    if described is not None:
        return [Check(name, "pass", f"{described.get('guestCpus')} vCPUs, {described.get('memoryMb')} MiB")]
    listed = gcloud.ask("ask where it is", "compute", "machine-types", "list", f"--filter=name={machine_type}")
    zones = sorted({str(each.get("zone", "")).rpartition("/")[2] for each in listed or ()})
    where = f"it is in {', '.join(zones)}" if zones else "no zone of this project has it"
    return [Check(name, "fail", f"not offered there; {where}. Set gcp:zone or the host's zone")]


def _wanted_disks(subject: Subject) -> set[tuple[str, str]]:
    """Zones with the disk types that the hosts take there."""
    settings = subject.settings
    return {
        (settings.zone_of(name), use.type)
        for name, host in settings.hosts.items()
        for use in disk_uses(host, subject.catalog).values()
    }


def _disk_type(zone: str, disk_type: str, gcloud: Gcloud) -> list[Check]:
    name = f"{disk_type} in {zone}"
    words = ("compute", "disk-types", "describe", disk_type, f"--zone={zone}")
    if gcloud.ask_or_none(name, *words, timeout_s=QUESTION_TIMEOUT_S) is not None:
        return [Check(name, "pass", "offered")]
    return [Check(name, "fail", "not offered there. Set the host's disk types, its zone or gcp:zone")]


def _quota(subject: Subject, gcloud: Gcloud) -> list[Check]:
    region = subject.settings.region
    described = gcloud.ask(
        f"quotas of {region}", "compute", "regions", "describe", region, timeout_s=QUESTION_TIMEOUT_S
    )
    return quota_checks(subject, [Quota.parse(each) for each in (described or {}).get("quotas") or ()])


def _processors(subject: Subject) -> dict[str, int]:
    """Quota metrics with the number of processors that the stack takes of each."""
    wanted: dict[str, int] = {}
    for host in subject.settings.hosts.values():
        shape = subject.catalog.shape(host.machine_type, assume=True)
        if shape is not None:
            metric = _metric(host, shape)
            wanted[metric] = wanted.get(metric, 0) + shape.vcpus
    return wanted


def _metric(host: HostSettings, shape: Shape) -> str:
    return f"{'PREEMPTIBLE_' if host.spot else ''}{shape.series.upper()}_CPUS"


def _capacity(settings: StackSettings, gcloud: Gcloud) -> list[Check]:
    """Best effort: the interface is new, for spot only, and not in every gcloud."""
    types = ",".join(sorted({host.machine_type for host in settings.hosts.values() if host.spot}))
    words = ("beta", "compute", "advice", "capacity", "--provisioning-model=SPOT", "--size=1")
    flags = (f"--region={settings.region}", f"--instance-selection-machine-types={types}")
    try:
        advice = gcloud.ask("capacity advice", *words, *flags, timeout_s=QUESTION_TIMEOUT_S)
    except DeployError:
        return [Check("spot capacity", "warn", "not told: this gcloud or project has no capacity advice")]
    scores = [each.get("scores", {}).get("obtainability") for each in (advice or {}).get("recommendations", ())]
    if scores and scores[0] is not None:
        verdict: Verdict = "pass" if float(scores[0]) >= 0.5 else "warn"
        return [Check("spot capacity", verdict, f"obtainability {float(scores[0]):.2f} of 1 for {types}")]
    return [Check("spot capacity", "warn", "not told: Google gave no score")]


def _refused(name: str, error: DeployError) -> Check:
    is_access = isinstance(error, GcloudError) and error.error.kind in (Kind.PERMISSION, Kind.UNREACHABLE)
    return Check(name, "warn" if is_access else "fail", " ".join(error.problems))
