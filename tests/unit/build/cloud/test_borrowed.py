"""What the doctor says of a subnet, an account, a role and a key that somebody else made."""

from pathlib import Path
from typing import Any

import pytest

from build.cloud.borrowed import borrowed_questions, key_checks, stop_role_checks
from build.cloud.gcloud import Gcloud
from build.remote.executor import LocalExecutor
from deployment.stack.settings import StackSettings
from tests.support.fakes.cloud.server import Cloud
from tests.support.gcloud_on_cloud import gcloud_environment, need_gcloud
from tests.support.replayed_gcloud import ReplayedGcloud, refuses, says

SUBNET = "projects/corp-network/regions/us-central1/subnetworks/serving"
KEY = "projects/corp-keys/locations/us-central1/keyRings/ring/cryptoKeys/disks"
ACCOUNT = "serving@corp-accounts.iam.gserviceaccount.com"
ROLE = "organizations/12345/roles/stopper"
STOP = "compute.instances.stop"
MISSING = "ERROR: (gcloud.x) The resource 'x' was not found"


def settings(**changes: Any) -> StackSettings:
    host = {"machineType": "c4a-standard-8", **changes.pop("host", {})}
    given = {f"axion:{key}": value for key, value in changes.items()}
    place = {"gcp:project": "my-project", "gcp:zone": "us-central1-a", "gcp:region": "us-central1"}
    return StackSettings.model_validate({**place, "axion:maxHourlyUsd": 1, "axion:hosts": {"main": host}, **given})


EVERYTHING = settings(host={"serviceAccount": ACCOUNT}, network={"subnetwork": SUBNET}, kmsKey=KEY, stopRole=ROLE)


def said(asked: StackSettings) -> list[tuple[str, str, str]]:
    answers = [question() for question in borrowed_questions(asked, Gcloud(LocalExecutor(), "my-project")).values()]
    return [(one.name, one.verdict, one.finding) for answer in answers for one in answer]


def test_a_stack_that_borrows_nothing_asks_nothing() -> None:
    assert dict(borrowed_questions(settings(), Gcloud(LocalExecutor(), "my-project"))) == {}


def test_each_is_asked_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [f"serviceAccount:service-77@{each}.iam.gserviceaccount.com"
               for each in ("compute-system", "gcp-sa-secretmanager")]  # fmt: skip
    bindings = [{"role": "roles/cloudkms.cryptoKeyEncrypterDecrypter", "members": members}]
    gcloud = ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch).answers(
        says("subnets describe", {"ipCidrRange": "10.0.0.0/24", "privateIpGoogleAccess": True}),
        says("service-accounts describe", {"email": ACCOUNT}),
        says("roles describe", {"includedPermissions": [STOP]}),
        says("keys get-iam-policy", {"bindings": bindings}),
        says("projects describe", {"projectNumber": "77"}),
    )
    assert {verdict for _, verdict, _ in said(EVERYTHING)} == {"pass"}
    assert [call.partition(" --format")[0] for call in gcloud.calls] == [
        "compute networks subnets describe serving --region=us-central1 --project=corp-network",
        f"iam service-accounts describe {ACCOUNT} --project=corp-accounts",
        "iam roles describe stopper --organization=12345",
        "kms keys get-iam-policy disks --keyring=ring --location=us-central1 --project=corp-keys",
        "projects describe my-project",
    ]


def test_what_is_not_there_fails_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch).answers(
        refuses("subnets describe", MISSING),
        refuses("service-accounts describe", MISSING),
        says("roles describe", {"deleted": True, "includedPermissions": [STOP]}),
        refuses("keys get-iam-policy", MISSING),
    )
    assert said(EVERYTHING) == [
        ("subnet", "fail", f"{SUBNET} is not there. Correct axion:network subnetwork"),
        (f"account {ACCOUNT}", "fail", "not there. Correct the host's serviceAccount, or have it made"),
        ("stop role", "fail", f"{ROLE} is deleted. Have it mended, or leave axion:stopRole out"),
        ("kms key", "fail", f"{KEY} is not there. Correct axion:kmsKey"),
    ]


def test_a_role_that_may_stop_nothing_or_more_is_told() -> None:
    assert [one.verdict for one in stop_role_checks(ROLE, {"includedPermissions": ["compute.instances.get"]})] == [
        "fail"
    ]
    (wide,) = stop_role_checks(ROLE, {"includedPermissions": [STOP, "compute.instances.delete"]})
    assert (wide.verdict, wide.finding) == (
        "warn", f"{ROLE} lets a host do more to itself: compute.instances.delete",
    )  # fmt: skip


def test_an_agent_without_the_key_is_told_with_the_command_that_grants_it() -> None:
    with_bucket = settings(kmsKey=KEY, bucket=True)
    found = key_checks(with_bucket, "77", [])
    assert [one.name for one in found] == ["kms key for disks", "kms key for secrets", "kms key for the bucket"]
    assert found[2].finding == (
        "not granted on the key itself. Its owner runs `gcloud kms keys add-iam-policy-binding disks --keyring=ring "
        "--location=us-central1 --project=corp-keys "
        "--member=serviceAccount:service-77@gs-project-accounts.iam.gserviceaccount.com "
        "--role=roles/cloudkms.cryptoKeyEncrypterDecrypter`"
    )
    assert len(key_checks(settings(kmsKey=KEY), "77", [])) == 2


def test_the_real_gcloud_describes_a_subnet_of_a_host_project(
    tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_gcloud()
    for name, value in gcloud_environment(cloud, tmp_path).items():
        monkeypatch.setenv(name, value)
    asked = settings(network={"subnetwork": SUBNET})
    assert said(asked)[0][1] == "fail"
    cloud.state.resources[SUBNET] = {"name": "serving", "ipCidrRange": "10.0.0.0/24", "privateIpGoogleAccess": False}
    ((_, verdict, finding),) = said(asked)
    assert verdict == "warn"
    assert "--project=corp-network --enable-private-ip-google-access`" in finding
