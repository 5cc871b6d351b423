"""The doctor of a stack that borrows: fewer permissions are asked for and enough, and other policies bite."""

from pathlib import Path
from typing import Any

import pytest

from build.cloud.doctor import api_checks
from build.cloud.org_policies import CONSTRAINTS
from build.cloud.permissions import PULUMI, permissions_of
from build.cloud.subject import Subject
from deployment.stack.file import read_file
from tests.integration.pulumi.test_organisation import ACCOUNT, ACCOUNT_PATH, HOST, KEY, SUBNET, host_network
from tests.support.fakes.cloud.encryption import COMPUTE, SECRETS, add_key
from tests.support.fakes.cloud.others import ACCOUNT_USER, NETWORK_USER, grant
from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack
from tests.support.subjects import subject
from tests.unit.build.cloud.test_org_policies import ENFORCED, allow, found

ROLE = "projects/axion-test/roles/stopper"
MADE_BY_OTHERS = ("compute.networks.", "compute.routers.", "compute.firewalls.", "iam.roles.", "resourcemanager.")


def borrowing() -> Subject:
    host = {"serviceAccount": ACCOUNT}
    return subject(host, network={"subnetwork": SUBNET}, kmsKey=KEY, stopRole=ROLE, secureBoot=False)


BITES: dict[str, tuple[str, dict[str, Any], str]] = {
    "secure boot": ("compute.requireShieldedVm", ENFORCED, "instances need secure boot: set axion:secureBoot to true"),
    "another's subnet": (
        "compute.restrictSharedVpcSubnetworks",
        allow("under:projects/other"),
        f"{SUBNET} may not be used from here: set axion:network.subnetwork to an allowed one",
    ),
    "another's key": (
        "gcp.restrictCmekCryptoKeyProjects",
        allow("projects/other"),
        "keys of corp-keys may not be used here: set axion:kmsKey to another",
    ),
}


@pytest.mark.parametrize("what", BITES)
def test_what_bites_a_stack_that_borrows(what: str) -> None:
    constraint, policy, finding = BITES[what]
    (known,) = [each for each in CONSTRAINTS if each.name == constraint]
    assert known.matters(borrowing())
    assert not known.matters(subject())
    assert found(constraint, policy, borrowing()) == [("fail", finding)]


def test_what_is_not_made_is_not_asked_about() -> None:
    asked = {each.name for each in CONSTRAINTS if each.matters(borrowing())}
    assert asked.isdisjoint(
        {
            *("iam.disableServiceAccountCreation", "compute.restrictCloudNATUsage", "compute.requireVpcFlowLogs"),
            "gcp.restrictNonCmekServices",
        }
    )


def test_secrets_are_judged_where_they_are_kept() -> None:
    kept = subject(secretRegions=["us-central1", "europe-west4"])
    assert found("gcp.resourceLocations", allow("in:us-central1-locations"), kept) == [
        ("fail", "no secret may be kept in europe-west4: set axion:secretRegions to allowed ones")
    ]
    assert found("gcp.resourceLocations", allow("in:us-central1-locations"), borrowing()) == []


def test_the_keys_api_is_needed_with_a_key() -> None:
    (check,) = api_checks(borrowing().settings, set())
    assert "cloudkms.googleapis.com" in check.finding
    (check,) = api_checks(subject().settings, set())
    assert "cloudkms" not in check.finding


def test_who_makes_no_network_account_or_role_needs_no_permission_to(
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud
) -> None:
    stack = PulumiStack.of_checkout(tmp_path, pulumi_cli, cloud)
    stack.config("hosts", {"main": {**HOST, "serviceAccount": ACCOUNT}}).config("maxHourlyUsd", 1)
    stack.config("network", {"subnetwork": SUBNET}).config("kmsKey", KEY).config("stopRole", ROLE)
    stack.config("deleteData", ["axion-dev-data-main"])
    host_network(cloud)
    grant(cloud.state, SUBNET, NETWORK_USER)
    cloud.state.resources[ROLE] = {"name": ROLE, "includedPermissions": ["compute.instances.stop"]}
    cloud.state.resources[ACCOUNT_PATH] = {"name": ACCOUNT_PATH, "email": ACCOUNT}
    grant(cloud.state, ACCOUNT_PATH, ACCOUNT_USER)
    add_key(cloud.state, KEY, COMPUTE, SECRETS)
    settings = read_file("dev", stack.folder).settings
    assert settings is not None
    held = set(permissions_of(PULUMI, settings))
    assert not [one for one in held if one.startswith(MADE_BY_OTHERS) or one == "iam.serviceAccounts.create"]
    cloud.state.settings.holds[""] = held
    stack.up()
    assert stack.plan() == {}
    stack.destroy()
