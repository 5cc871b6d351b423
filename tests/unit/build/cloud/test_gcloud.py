"""Census, doctor and stop timers of this project's own dev stack: the real CLI, the real gcloud, the small cloud."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.fakes.cloud.server import Cloud, running
from tests.support.gcloud_on_cloud import fab, gcloud_environment, need_gcloud
from tests.support.pulumi_stack import HOW_TO_GET_IT, PulumiStack, find_cli

ZONE = "projects/axion-test/zones/us-central1-a"
FULL = "organization/axion/dev"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with running() as made:
        yield made


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, cloud: Cloud) -> PulumiStack:
    """The dev example, up."""
    need_gcloud()
    cli = find_cli()
    if cli is None:
        pytest.skip(f"pulumi: not found, so there was no stack to look at. {HOW_TO_GET_IT}")
    made = PulumiStack.of_checkout(tmp_path_factory.mktemp("dev"), cli, cloud, name="dev")
    made.up()
    return made


@pytest.fixture(scope="module")
def fresh(stack: PulumiStack, tmp_path_factory: pytest.TempPathFactory) -> PulumiStack:
    """The same on the same cloud before its first `up`: it has no host yet that the doctor would connect to."""
    return PulumiStack.of_checkout(tmp_path_factory.mktemp("fresh"), stack.cli, stack.cloud, name="dev")


def asked(stack: PulumiStack, *words: str, name: str = "dev") -> "subprocess.CompletedProcess[str]":
    environment = {**stack.environment, **gcloud_environment(stack.cloud, stack.folder.parent)}
    return fab(*words, "--stack", name, project=stack.folder, environment=environment)


def gcloud(stack: PulumiStack, *words: str) -> str:
    environment = {**os.environ, **gcloud_environment(stack.cloud, stack.folder.parent)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
    return done.stdout


def counted(stack: PulumiStack) -> dict[str, list[str]]:
    """Names by kind."""
    found: dict[str, list[str]] = {}
    for each in json.loads(asked(stack, "census", "--json", name=FULL).stdout)["found"]:
        found.setdefault(each["kind"], []).append(each["name"])
    return found


def test_the_doctor_finds_nothing_in_the_way(fresh: PulumiStack) -> None:
    ran = asked(fresh, "doctor", "--json", name=FULL)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    verdicts = {check["check"]: check["verdict"] for check in json.loads(ran.stdout)}
    assert [name for name, verdict in verdicts.items() if verdict == "pass"] == [
        "configuration", "gcloud", "pulumi", "price", "pulumi backend", "pulumi stack", "APIs",
        "c4a-standard-8 in us-central1-a", "hyperdisk-balanced in us-central1-a", "org policies",
    ]  # fmt: skip
    assert {name for name, verdict in verdicts.items() if verdict == "warn"} == {
        "login", "quota PREEMPTIBLE_C4A_CPUS", "spot capacity",
    }  # fmt: skip


def test_the_doctor_names_an_api_that_is_off_and_ends_with_1(fresh: PulumiStack) -> None:
    services = set(fresh.cloud.state.settings.services)
    fresh.cloud.state.settings.services = services - {"secretmanager.googleapis.com"}
    try:
        ran = asked(fresh, "doctor")
    finally:
        fresh.cloud.state.settings.services = services
    assert ran.returncode == 1
    assert "Run `gcloud services enable secretmanager.googleapis.com`" in ran.stdout


def test_the_idle_policy_is_what_the_host_was_told(stack: PulumiStack) -> None:
    (row,) = json.loads(asked(stack, "idle-policy", "--json", name=FULL).stdout)
    assert row == {"host": "main", "state": "RUNNING", "idle_stop_minutes": 30, "ends_by": row["ends_by"], "remark": ""}


def test_the_census_counts_the_stack_and_not_its_neighbours(stack: PulumiStack) -> None:
    neighbour = ["--project=axion-test", "--quiet"]
    gcloud(stack, "gcloud", "compute", "networks", "create", "axion-dev-2-vpc", "--subnet-mode=custom", *neighbour)
    found = counted(stack)
    (role,) = found.pop("custom role")
    assert re.fullmatch(r"axion_dev_stop_main_\d+", role)  # the number is its account's
    assert found == {
        "instance": ["axion-dev-main"],
        "disk": ["axion-dev-boot-main", "axion-dev-data-main"],
        "snapshot schedule": ["axion-dev-snapshots"],
        "firewall rule": ["axion-dev-allow-iap-ssh"],
        "router": ["axion-dev-router"],
        "subnet": ["axion-dev-subnet"],
        "network": ["axion-dev-vpc"],
        "role grant": [
            "serviceAccount:axion-dev-main@axion-test.iam.gserviceaccount.com roles/logging.logWriter",
            "serviceAccount:axion-dev-main@axion-test.iam.gserviceaccount.com roles/monitoring.metricWriter",
        ],
        "service account": ["axion-dev-main@axion-test.iam.gserviceaccount.com"],
        "secret": ["axion-dev-gateway-api-keys"],
    }


def test_a_stack_s_full_name_is_told_to_pulumi_and_names_the_same_file(stack: PulumiStack) -> None:
    """The doctor, the idle policy and the census below are asked by the full name too."""
    assert list(json.loads(asked(stack, "cost", "--json", name=FULL).stdout)) == ["dev"]
    nothing = asked(stack, "recover", name=FULL)
    assert (nothing.returncode, nothing.stdout) == (0, ""), nothing.stderr
    assert nothing.stderr == f"{FULL}: nothing to recover. `pulumi up` goes on.\n"
    wrong = asked(stack, "census", name="acme//dev")
    assert (wrong.returncode, wrong.stderr.startswith('--stack: no stack\'s name, got "acme//dev". Give')) == (1, True)


def snapshot(stack: PulumiStack, disk: str, name: str, *flags: str) -> None:
    where = ("--zone=us-central1-a", "--project=axion-test", "--quiet")
    gcloud(stack, "gcloud", "compute", "disks", "snapshot", disk, f"--snapshot-names={name}", *flags, *where)


def test_snapshots_outlive_their_disk_and_go_by_its_name_alone(stack: PulumiStack) -> None:
    """One of the schedule's, with the stack's label; one of the provider's, with none."""
    snapshot(stack, "axion-dev-data-main", "scheduled", "--labels=axion-stack=dev")
    snapshot(stack, "axion-dev-data-main", "axion-dev-data-main-20261129-101112")
    snapshot(stack, "axion-dev-boot-main", "mine", "--labels=axion-stack=other")
    assert counted(stack)["snapshot"] == ["axion-dev-data-main-20261129-101112", "scheduled"]
    refused = asked(stack, "census", "--remove-snapshots", "yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "got yes. Type one of: axion-dev-data-main." in refused.stderr
    said = asked(stack, "census").stdout
    assert "axion-dev-data-main: 2 snapshots, " in said
    assert "Remove with `fab census --stack dev --remove-snapshots axion-dev-data-main`." in said
    done = asked(stack, "census", "--remove-snapshots", "axion-dev-data-main", "--json")
    assert done.returncode == 0, done.stderr
    assert [each["name"] for each in json.loads(done.stdout)["found"] if each["kind"] == "snapshot"] == []
    assert [path for path in stack.cloud.state.resources if "/snapshots/" in path] == [
        "projects/axion-test/global/snapshots/mine"
    ]


def test_what_a_destroy_leaves_is_listed_and_its_commands_remove_it(stack: PulumiStack) -> None:
    for name, resource in stack.resources().items():
        if resource.get("protect"):
            assert name == "models-data-main"
            stack.run("state", "unprotect", resource["urn"], "--yes")
    stack.destroy()
    where, ours = ("--zone=us-central1-a", "--project=axion-test", "--quiet"), "--labels=axion-stack=dev"
    disk = ("gcloud", "compute", "disks", "create", "left-behind", "--type=hyperdisk-balanced", "--size=10GB")
    gcloud(stack, *disk, ours, *where)
    # Unprotected by hand instead of named in deleteData: what was on it is still there.
    assert re.search(r"axion-dev-data-main: 1 snapshot,.*the only copy", asked(stack, "census").stdout)
    assert asked(stack, "census", "--remove-snapshots", "axion-dev-data-main").returncode == 0
    ran = asked(stack, "census", "--expect-empty")
    assert ran.returncode == 1
    assert "left-behind" in ran.stdout
    command = "gcloud compute disks delete left-behind --zone=us-central1-a --project=axion-test --quiet"
    assert ran.stdout.splitlines()[-1].strip() == command
    gcloud(stack, *shlex.split(command))
    ran = asked(stack, "census", "--expect-empty")
    assert (ran.returncode, ran.stdout) == (0, "dev: nothing left in axion-test.\n"), ran.stderr


def test_a_stack_that_pulumi_forgot_can_be_removed_by_the_commands_alone(stack: PulumiStack) -> None:
    stack.up()
    stack.run("stack", "rm", "dev", "--yes", "--force", "--preserve-config")
    commands = json.loads(asked(stack, "census", "--json").stdout)["remove"]
    assert len(commands) == 13
    for command in commands:
        gcloud(stack, *shlex.split(command))
    left = [path for path in stack.cloud.state.resources if "axion-dev-" in path and "axion-dev-2" not in path]
    assert [path for path in left if not stack.cloud.state.resources[path].get("deleted")] == []
    assert asked(stack, "census", "--expect-empty").returncode == 0
