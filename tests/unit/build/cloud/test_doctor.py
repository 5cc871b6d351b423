"""What the doctor says of a stack: by Google's and Pulumi's answers alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from build.check import Check, Verdict
from build.cli.stacks import bill_of
from build.cloud.doctor import Quota, api_checks, price_checks, quota_checks, stack_checks
from build.cloud.gcloud import Gcloud
from build.cloud.pulumi_cli import Pulumi
from build.cloud.subject import Subject
from build.remote.executor import LocalExecutor
from deployment.stack.catalog import load_catalog
from deployment.stack.settings import StackSettings
from tests.support.fakes.cloud.server import Cloud
from tests.support.logins import without_logins
from tests.support.replayed_gcloud import ReplayedGcloud, refuses, says

NEEDED = (
    "cloudresourcemanager.googleapis.com", "compute.googleapis.com", "iam.googleapis.com", "iap.googleapis.com",
    "oslogin.googleapis.com", "secretmanager.googleapis.com",
)  # fmt: skip
QUOTAS = "https://console.cloud.google.com/iam-admin/quotas"


def subject(
    machine: str = "c4a-standard-32", limit: float = 2.0, *, spot: bool = False, region: str = "us-central1"
) -> Subject:
    config = {
        "gcp:project": "my-project", "gcp:zone": f"{region}-a", "gcp:region": region, "axion:maxHourlyUsd": limit,
        "axion:hosts": {"main": {"machineType": machine, "spot": spot}},
    }  # fmt: skip
    settings = StackSettings.model_validate(config)
    return Subject(stack="dev", settings=settings, bill=bill_of(settings), catalog=load_catalog())


@pytest.mark.parametrize(
    ("quotas", "verdict", "finding"),
    [
        (
            [{"metric": "C4A_CPUS", "limit": 64, "usage": 0}], "pass",
            "32 needed by this stack, 0 of 64 in use in us-central1",
        ),
        (
            [{"metric": "C4A_CPUS", "limit": 8.0, "usage": 0}], "fail",
            f"32 needed by this stack, 0 of 8 in use in us-central1. Ask for more at {QUOTAS}",
        ),
        (
            [{"metric": "C4A_CPUS", "limit": 40, "usage": 32}], "warn",
            "32 needed by this stack, 32 of 40 in use in us-central1; unless this stack is what uses them, "
            f"ask for more at {QUOTAS}",
        ),
        (
            [{"metric": "N2_CPUS", "limit": 8, "usage": 0}], "warn",
            f"not told by this interface; 32 are needed. Look for C4A_CPUS at {QUOTAS}",
        ),
    ],
)  # fmt: skip
def test_the_quota_is_held_against_what_the_stack_takes(
    quotas: list[dict[str, Any]], verdict: Verdict, finding: str
) -> None:
    told = [Quota.parse(each) for each in quotas]
    assert quota_checks(subject(), told) == [Check("quota C4A_CPUS", verdict, finding)]


def test_spot_machines_have_a_quota_of_their_own() -> None:
    (check,) = quota_checks(subject("n4a-standard-8", spot=True), [])
    assert check.name == "quota PREEMPTIBLE_N4A_CPUS"


def test_an_api_that_is_off_comes_with_the_command_that_turns_it_on() -> None:
    settings = subject().settings
    assert api_checks(settings, set(NEEDED)) == [Check("APIs", "pass", "6 needed, all on")]
    (check,) = api_checks(settings, set(NEEDED[1:-1]))
    assert check.verdict == "fail"
    (acting,) = api_checks(settings, set(NEEDED), impersonates=True)
    assert acting.finding.endswith("Run `gcloud services enable iamcredentials.googleapis.com`")
    both = "cloudresourcemanager.googleapis.com secretmanager.googleapis.com"
    assert check.finding.endswith(f"Run `gcloud services enable {both}`")


@pytest.mark.parametrize(
    ("of", "verdict", "finding"),
    [
        # 1.4368 for the machine, 50 + 200 GiB at 0.08 a month of 730 hours for the disks.
        (subject(), "pass", "1.4642 USD an hour of at most 2, all hosts and disks"),
        (
            subject(limit=1.4), "fail",
            "1.4642 USD an hour of at most 1.4, all hosts and disks. Raise axion:maxHourlyUsd, or take a smaller",
        ),
        (subject(region="asia-east1"), "warn", "at least 0.0000 USD an hour"),
    ],
)  # fmt: skip
def test_the_price_is_held_against_the_limit(of: Subject, verdict: str, finding: str) -> None:
    (check,) = price_checks(of)
    assert (check.verdict, check.finding[: len(finding)]) == (verdict, finding)


PULUMI = """#!/bin/sh
case "$*" in
    whoami*) echo '{"user": "ann", "url": "gs://states"}' ;;
    "stack ls"*) echo '[{"name": "organization/axion/dev"}, {"name": "prod"}]' ;;
esac
"""


def adc(home: Path) -> Path:
    """Where `gcloud auth application-default login` leaves what it got."""
    return home / ".config" / "gcloud" / "application_default_credentials.json"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> ReplayedGcloud:
    """Both command lines, in good health, and somebody to ask for permissions."""
    without_logins(monkeypatch)
    cloud.state.settings.project = "my-project"
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER", f"{cloud.url}/")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    adc(tmp_path).parent.mkdir(parents=True)
    adc(tmp_path).write_text('{"type": "authorized_user", "quota_project_id": "my-project"}')
    replayed = ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)
    (tmp_path / "bin" / "pulumi").write_text(PULUMI)
    (tmp_path / "bin" / "pulumi").chmod(0o755)
    return replayed.answers(*HEALTHY)


HEALTHY = (
    says("auth list", [{"account": "ann@example.com", "status": "ACTIVE"}]),
    says("print-access-token", {"token": "a-token"}),
    says("services list --enabled", [{"config": {"name": name}} for name in NEEDED]),
    says("machine-types describe", {"guestCpus": 32, "memoryMb": 131072}),
    says("regions describe us-central1", {"quotas": [{"metric": "C4A_CPUS", "limit": 64, "usage": 0}]}),
)


def examined(tmp_path: Path, of: Subject | None = None) -> dict[str, tuple[str, str]]:
    executor = LocalExecutor()
    pulumi = Pulumi(executor=executor, directory=tmp_path, stack="dev")
    checks = stack_checks(of or subject(), Gcloud(executor, "my-project"), pulumi)
    return {check.name: (check.verdict, check.finding) for check in checks}


def test_a_healthy_stack_passes_every_check(programs: ReplayedGcloud, tmp_path: Path) -> None:
    checks = examined(tmp_path)
    assert {verdict for verdict, _ in checks.values()} == {"pass"}, checks
    assert list(checks) == [
        "gcloud", "pulumi", "price", "pulumi backend", "pulumi stack", "login", "application login", "APIs",
        "c4a-standard-32 in us-central1-a", "hyperdisk-balanced in us-central1-a", "org policies",
        "permissions of gcloud's account", "permissions of Pulumi's", "quota C4A_CPUS",
    ]  # fmt: skip
    assert checks["c4a-standard-32 in us-central1-a"][1] == "32 vCPUs, 131072 MiB"
    assert json.loads((programs.folder / "answers.json").read_text())


def test_each_thing_in_the_way_says_what_to_do_and_hides_no_other(programs: ReplayedGcloud, tmp_path: Path) -> None:
    adc(tmp_path).unlink()
    (programs.folder / "pulumi").write_text(PULUMI.replace("axion/dev", "axion/other"))
    programs.answers(
        says("auth list", []),
        says("services list", []),
        refuses("machine-types describe", "ERROR: The resource 'c4a-standard-32' was not found"),
        says("machine-types list", [{"name": "c4a-standard-32", "zone": "us-central1-b"}]),
        refuses("disk-types describe", "ERROR: The resource 'hyperdisk-balanced' was not found"),
        refuses("regions describe", "ERROR: Required 'compute.regions.get' permission for 'projects/p'"),
    )
    checks = examined(tmp_path)
    assert checks["login"] == ("fail", "no active account. Run `gcloud auth login`")
    assert checks["application login"][1].endswith("Run `gcloud auth application-default login`")
    assert checks["pulumi stack"] == ("fail", "dev is not in it. Run `pulumi stack init dev`")
    assert checks["APIs"][0] == "fail"
    assert checks["c4a-standard-32 in us-central1-a"] == (
        "fail", "not offered there; it is in us-central1-b. Set gcp:zone or the host's zone",
    )  # fmt: skip
    assert checks["hyperdisk-balanced in us-central1-a"] == (
        "fail", "not offered there. Set the host's disk types, its zone or gcp:zone",
    )  # fmt: skip
    assert checks["quota"][0] == "warn"  # whoever may not look may still be allowed to create
    assert "grant compute.regions.get" in checks["quota"][1]


def test_capacity_advice_is_asked_for_spot_only_and_its_absence_is_a_warning(
    programs: ReplayedGcloud, tmp_path: Path
) -> None:
    programs.answers(*HEALTHY, refuses("advice capacity", "ERROR: Invalid choice: 'capacity'", status=2))
    checks = examined(tmp_path, subject(spot=True))
    assert checks["spot capacity"] == ("warn", "not told: this gcloud or project has no capacity advice")
    assert "spot capacity" not in examined(tmp_path)


def test_without_the_programs_nothing_is_asked_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = examined(tmp_path)
    assert list(checks) == ["gcloud", "pulumi", "price"]
    assert checks["gcloud"] == ("fail", "not on PATH. Install it: https://cloud.google.com/sdk/docs/install")
    assert checks["pulumi"] == ("fail", "not on PATH. Install it: https://www.pulumi.com/docs/install")
