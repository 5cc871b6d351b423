"""The doctor reads organisation policies with the real gcloud, and names those that bite this stack and no other."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build.cloud.gcloud import Gcloud
from build.cloud.org_policies import CONSTRAINTS, judged, policy_checks
from build.cloud.policy import Policy
from build.cloud.subject import Subject
from build.remote.executor import LocalExecutor
from deployment.stack.file import read_file
from tests.support.fakes.cloud.server import Cloud
from tests.support.gcloud_on_cloud import gcloud_environment, need_gcloud
from tests.support.logins import without_logins
from tests.support.pulumi_stack import PulumiStack
from tests.support.subjects import subject

ENFORCED = {"booleanPolicy": {"enforced": True}}
EXCEPTION = "ask the organisation for an exception for this project"


def found(constraint: str, policy: Mapping[str, Any], of: Subject) -> list[tuple[str, str]]:
    (known,) = [each for each in CONSTRAINTS if each.name == constraint]
    return [(one.verdict, one.finding) for one in judged(known, Policy.parse(policy), of)]


def allow(*values: str) -> dict[str, Any]:
    return {"listPolicy": {"allowedValues": list(values)}}


def deny(*values: str) -> dict[str, Any]:
    return {"listPolicy": {"deniedValues": list(values)}}


NO_ZONE = "nothing may be made in us-central1-a: set gcp:zone or the host's zone to an allowed one"
NO_REGION = "no subnet, snapshot or bucket may be made in us-central1: use another region"
NO_GLOBAL = (
    "secrets that Google replicates by itself are of the location global: set axion:secretRegions to allowed regions "
    "such as [us-central1]"
)
BITES: dict[str, tuple[str, Mapping[str, Any], Subject, list[tuple[str, str]]]] = {
    "an external address": (
        "compute.vmExternalIpAccess", {"listPolicy": {"allValues": "DENY"}},
        subject({"publicIp": {"allowCidrs": ["203.0.113.0/28"]}}),
        [(
            "fail",
            f"host main may have no external address: delete its publicIp and reach it through IAP, or {EXCEPTION}",
        )],
    ),
    "a public image": (
        "compute.trustedImageProjects", allow("projects/hardened"), subject(),
        [(
            "fail",
            "images of ubuntu-os-cloud are not trusted: set the host's image to one of an allowed project's or your "
            f"own, or {EXCEPTION}",
        )],
    ),
    "all locations": ("gcp.resourceLocations", allow("in:europe-locations"), subject(),
                      [("fail", NO_ZONE), ("fail", NO_REGION), ("fail", NO_GLOBAL)]),
    "only the secrets": ("gcp.resourceLocations", allow("in:us-central1-locations"), subject(), [("fail", NO_GLOBAL)]),
    "a denied zone": ("gcp.resourceLocations", deny("us-central1-a"), subject(), [("fail", NO_ZONE)]),
    "a region by its name alone": (
        "gcp.resourceLocations", allow("us-central1", "global"), subject(),
        [("warn", f"perhaps {NO_ZONE}, got allowed us-central1, global")],
    ),
    "host keys": (
        "compute.disableGuestAttributesAccess", ENFORCED, subject(),
        [(
            "fail",
            "hosts publish their keys as guest attributes, which nobody may read: fab would know no host; "
            f"{EXCEPTION}",
        )],
    ),
    "accounts": (
        "iam.disableServiceAccountCreation", ENFORCED, subject(),
        [(
            "fail",
            "no service account may be made: have one made for each host and set its serviceAccount, or " + EXCEPTION,
        )],
    ),
    "a folder that only Google knows": (
        "compute.restrictCloudNATUsage", allow("under:folders/1"), subject(),
        [(
            "warn",
            "perhaps the subnet may not use Cloud NAT: set axion:network.subnetwork to one that has a way out, or "
            f"{EXCEPTION}, got allowed under:folders/1",
        )],
    ),
    "keys of one's own": (
        "gcp.restrictNonCmekServices", deny("compute.googleapis.com"), subject(),
        [("fail", "compute makes nothing without a key of your own: set axion:kmsKey")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BITES)
def test_a_policy_that_bites_is_a_finding_with_what_to_set(what: str) -> None:
    constraint, policy, of, findings = BITES[what]
    assert found(constraint, policy, of) == findings


@pytest.mark.parametrize(
    ("constraint", "policy"),
    [
        ("compute.trustedImageProjects", allow("projects/ubuntu-os-cloud")),
        ("compute.trustedImageProjects", {"listPolicy": {"allValues": "ALLOW"}}),
        ("compute.trustedImageProjects", allow("under:projects/ubuntu-os-cloud")),
        ("gcp.resourceLocations", allow("in:us-locations", "global")),
        ("gcp.resourceLocations", deny("in:europe-locations")),
        ("compute.disableGuestAttributesAccess", {"booleanPolicy": {}}),
        ("compute.restrictCloudNATUsage", allow("under:projects/axion-test")),
        ("gcp.restrictNonCmekServices", deny("is:bigquery.googleapis.com")),
    ],
)
def test_a_policy_that_lets_this_stack_through_is_no_finding(constraint: str, policy: Mapping[str, Any]) -> None:
    assert found(constraint, policy, subject()) == []


def test_an_image_of_ones_own_is_trusted_always() -> None:
    own = subject({"image": "projects/axion-test/global/images/ours-arm64"})
    assert found("compute.trustedImageProjects", allow("projects/hardened"), own) == []


def test_what_a_stack_does_not_ask_for_is_not_asked_about() -> None:
    def asked(of: Subject) -> set[str]:
        return {each.name for each in CONSTRAINTS if each.matters(of)}

    public = subject({"publicIp": {"allowCidrs": ["203.0.113.0/28"]}}, network={"flowLogs": True})
    assert asked(public) - asked(subject()) == {"compute.vmExternalIpAccess"}
    assert asked(subject()) - asked(public) == {"compute.requireVpcFlowLogs"}


@pytest.fixture
def gcloud(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gcloud:
    need_gcloud()
    without_logins(monkeypatch)
    for name, value in gcloud_environment(cloud, tmp_path).items():
        monkeypatch.setenv(name, value)
    return Gcloud(LocalExecutor(), "axion-test")


def test_real_gcloud_reads_what_is_in_force(cloud: Cloud, gcloud: Gcloud) -> None:
    (check,) = policy_checks(subject(), gcloud)
    assert (check.verdict, check.finding) == ("pass", "8 that matter, none refuses this stack")
    cloud.state.settings.org_policies = {
        "gcp.resourceLocations": allow("in:us-locations"),
        "compute.vmExternalIpAccess": {"listPolicy": {"allValues": "DENY"}},
        "iam.disableServiceAccountCreation": ENFORCED,
    }
    assert {(one.name, one.verdict) for one in policy_checks(subject(), gcloud)} == {
        ("org policy gcp.resourceLocations", "fail"),
        ("org policy iam.disableServiceAccountCreation", "fail"),
    }


def test_who_may_not_read_them_is_told_once(cloud: Cloud, gcloud: Gcloud) -> None:
    message = "Permission 'orgpolicy.policy.get' denied on resource '//cloudresourcemanager.googleapis.com/projects/p'"
    cloud.plant(method=r".*getEffectiveOrgPolicy", kind="error", nth=0, code=403, reason="forbidden", message=message)
    (check,) = policy_checks(subject(), gcloud)
    assert check.verdict == "warn"
    assert check.finding.startswith("8 of 8 could not be read: read the org policy compute.trustedImageProjects: ")
    assert "orgpolicy.policy.get" in check.finding


def test_what_the_doctor_foresees_is_what_pulumi_up_meets(cloud: Cloud, tmp_path: Path, pulumi_cli: Path) -> None:
    stack = PulumiStack.of_checkout(tmp_path / "up", pulumi_cli, cloud, name="prod")
    stack.config("network", {"cidr": "10.20.0.0/24"})
    settings = read_file("prod", stack.folder).settings
    assert settings is not None
    of, policies = replace(subject(), stack="prod", settings=settings), cloud.state.settings.org_policies

    def foreseen() -> set[str]:
        return {name for name, policy in policies.items() if "fail" in dict(found(name, policy, of))}

    own = "projects/axion-test/regions/us-central1/subnetworks/axion-prod-subnet"
    lenient = {
        "compute.trustedImageProjects": allow("projects/ubuntu-os-cloud"),
        "gcp.resourceLocations": allow("in:us-locations", "global"),
        "compute.restrictCloudNATUsage": allow(own),
        "gcp.restrictNonCmekServices": deny("bigquery.googleapis.com"),
    }
    policies.update(
        {
            "compute.trustedImageProjects": allow("projects/hardened"),
            "gcp.resourceLocations": allow("in:us-locations"),
            "iam.disableServiceAccountCreation": ENFORCED,
            "compute.restrictCloudNATUsage": deny(own),
            "compute.requireVpcFlowLogs": allow("ESSENTIAL"),
            "gcp.restrictNonCmekServices": deny("storage.googleapis.com"),
        }
    )
    assert foreseen() == set(policies)
    while policies:  # what waits for a refused thing meets its own policy only when that one is let through
        said = stack.up("--continue-on-error", check=False).said
        met = {one for one in policies if one in said}
        assert met, said
        for constraint in met:
            policies.pop(constraint)
    policies.update(lenient)
    assert foreseen() == set()
    stack.up()
