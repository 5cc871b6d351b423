"""`kill -9` of the CLI in the middle of creates, an update and a delete of the project's own program.

tests/test_cloud_recover_cli.py has the same for one resource at a time; here many are in flight at once.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fakes.cloud.server import Cloud
from tests.faulted_stack import HOW_MANY, METHODS, everything, held, kinds_in_state
from tests.gcloud_on_cloud import fab, need_gcloud, recovery_environment
from tests.pulumi_stack import PulumiStack

PATIENCE_S = 60.0
END_S = 20.0
LANGUAGE_HOST = "pulumi-language-python"
"""Looks after the engine every five minutes, as Pulumi's own does, and then ends: nobody waits for that here."""


@pytest.fixture
def stack(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> PulumiStack:
    need_gcloud()
    return everything(tmp_path / "x", pulumi_cli, cloud)


def eventually(what: str, limit_s: float, is_so: "Iterator[bool]") -> None:
    deadline = time.monotonic() + limit_s
    while not next(is_so):
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.1)


def session(leader: int) -> dict[int, str]:
    """What still runs of a session, by process id."""
    found: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == leader and "\nState:\tZ" not in (entry / "status").read_text():
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
        except (OSError, ValueError):
            continue
    return found


class Hanging:
    """A run of the CLI whose calls of some methods get no answer; `before` ones are not even carried out."""

    def __init__(
        self, stack: PulumiStack, *words: str, before: tuple[str, ...] = (), after: tuple[str, ...] = ()
    ) -> None:
        self.stack = stack
        faults = [
            stack.cloud.plant(method=method.replace(".", r"\."), kind="hang", nth=0, after_work=method in after)
            for method in (*before, *after)
        ]
        words = (*words, "--yes", "--skip-preview", "--parallel", "32", "--stack", stack.name)
        self.process: subprocess.Popen[str] = stack.start(*words)

        def all_struck() -> Iterator[bool]:
            while True:
                assert self.process.poll() is None, self.process.communicate()[0]
                yield all(fault.struck for fault in faults)

        eventually(f"called: {[*before, *after]}", PATIENCE_S, all_struck())
        time.sleep(1.0)  # what else can be done is done

    def kill(self) -> None:
        """End the CLI alone, and see that what it had started ends by itself."""
        leader = self.process.pid
        assert any("tests.fakes.provider" in line or "pulumi-resource-gcp" in line for line in session(leader).values())
        os.kill(leader, signal.SIGKILL)
        self.process.wait(10)

        def alone() -> Iterator[bool]:
            while True:
                yield all(f"/{LANGUAGE_HOST} " in f"{line} " for line in session(leader).values())

        eventually(f"ended by itself: {session(leader)}", END_S, alone())
        for pid in session(leader):
            os.kill(pid, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.stack.cloud.faults.clear()


def recover(stack: PulumiStack, *flags: str) -> "subprocess.CompletedProcess[str]":
    return fab("recover", "--stack", stack.name, *flags, project=stack.folder, environment=recovery_environment(stack))


def pending(stack: PulumiStack) -> list[str]:
    operations = stack.export()["deployment"].get("pending_operations") or []
    return sorted(f"{each['type']} {each['resource']['urn'].rpartition('::')[2]}" for each in operations)


def verdicts(printed: str) -> list[str]:
    """The steps as `verdict name`, without reasons."""
    return sorted(" ".join(line.split()[:3:2]) for line in printed.splitlines() if "(was " in line)


def settle(stack: PulumiStack, owner: int) -> list[str]:
    """Refused, shown, done: as a person would. Returns what was decided."""
    locked = stack.up(check=False)
    assert locked.status != 0
    assert "the stack is currently locked by 1 lock(s)" in locked.said
    before = pending(stack)
    planned = recover(stack)
    assert planned.returncode == 0, planned.stderr
    assert f"process {owner}, since " in planned.stdout
    assert planned.stderr == "Nothing was changed. Add --yes to do this.\n"
    assert pending(stack) == before
    done = recover(stack, "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(planned.stdout)
    assert pending(stack) == []
    return verdicts(done.stdout)


def assert_everything_once(stack: PulumiStack) -> None:
    """After one more `up`, each thing is there once, in the cloud as in the state, and no change is left."""
    stack.up("--parallel", "32")
    now = held(stack)
    assert (now.orphans, now.ghosts) == ([], [])
    assert kinds_in_state(stack) == HOW_MANY
    assert stack.plan() == {}


def test_creates_in_flight_at_the_roots_half_of_them_carried_out(stack: PulumiStack) -> None:
    after = ("Network", "Bucket", "NotificationChannel", "IAMCustomRole")
    before = ("Disk", "Secret", "Account", "ResourcePolicy")
    run = Hanging(
        stack, "up", after=tuple(METHODS[each] for each in after), before=tuple(METHODS[each] for each in before)
    )
    refused = recover(stack, "--yes")
    assert refused.returncode == 1
    assert ": held by a process that runs, got " in refused.stderr
    assert f"process {run.process.pid}, since " in refused.stderr
    run.kill()
    assert pending(stack) == [
        "creating alerts-email",
        "creating identity-main-account",
        "creating models-bucket",
        "creating models-data-main",
        "creating models-snapshots",
        "creating network-vpc",
        "creating secrets-gateway-api-keys",
        "creating secrets-hub-token",
        "creating stop-role",
    ]
    assert settle(stack, run.process.pid) == [
        "clear identity-main-account",
        "clear models-data-main",
        "clear models-snapshots",
        "clear secrets-gateway-api-keys",
        "clear secrets-hub-token",
        "import alerts-email",
        "import models-bucket",
        "import network-vpc",
        "import stop-role",
    ]
    assert_everything_once(stack)


def test_creates_in_flight_at_the_leaves_then_an_update_then_a_delete(stack: PulumiStack) -> None:
    kinds = ("Instance", "AlertPolicy", "SecretVersion", "Budget")
    run = Hanging(stack, "up", after=tuple(METHODS[each] for each in kinds))
    run.kill()
    assert settle(stack, run.process.pid) == [
        "import alerts-disk-full",
        "import alerts-down-main",
        "import alerts-idle",
        "import alerts-memory-pressure",
        "import budget-monthly",
        "import host-main-instance",
        "import secrets-gateway-api-keys-version",
        "import secrets-hub-token-version",
    ]
    assert_everything_once(stack)

    document = yaml.safe_load(stack.settings_file.read_text())
    document["config"]["axion:hosts"]["main"] |= {"dataDiskGib": 240, "machineType": "c4a-standard-48"}
    stack.settings_file.write_text(yaml.safe_dump(document, sort_keys=False))
    run = Hanging(stack, "up", after=("compute.disks.resize",))
    run.kill()
    assert pending(stack) == ["updating models-data-main"]
    assert settle(stack, run.process.pid) == ["refresh models-data-main"]
    run = Hanging(stack, "up", after=("compute.instances.setMachineType",))
    run.kill()
    assert pending(stack) == ["updating host-main-instance"]
    # Stopped to be changed, and nobody is left to start it.
    assert "it is stopped, and you start it: `gcloud compute instances start axion-prod-main " in recover(stack).stdout
    assert settle(stack, run.process.pid) == ["refresh host-main-instance"]
    assert_everything_once(stack)
    instance = stack.cloud.state.resources["projects/axion-test/zones/us-central1-a/instances/axion-prod-main"]
    assert instance["machineType"].endswith("/c4a-standard-48")

    run = Hanging(
        stack,
        "destroy",
        after=("compute.disks.delete", "storage.buckets.delete"),
        before=("monitoring.projects.notificationChannels.delete",),
    )
    run.kill()
    assert pending(stack) == ["deleting alerts-email", "deleting models-bucket", "deleting models-data-main"]
    decided = ["refresh alerts-email", "refresh models-bucket", "refresh models-data-main"]
    assert settle(stack, run.process.pid) == decided
    stack.destroy()
    now = held(stack)
    # Google keeps the id of a deleted role for a month, and the versions of a deleted secret for ever.
    assert [each for each in now.cloud if "/roles/axion_prod_stop" not in each] == []
    assert now.state == []
