"""`kill -9` of the CLI in the middle of creates, an update and a delete of the project's own program.

tests/unit/build/cloud/test_recover_cli.py has the same for one resource at a time; here many are in flight at once.
"""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from tests.support.fakes.cloud.server import Cloud
from tests.support.faulted_stack import HOW_MANY, METHODS, everything, held, kinds_in_state, pending_in_state
from tests.support.gcloud_on_cloud import fab, need_gcloud, recovery_environment
from tests.support.pulumi_stack import PulumiStack

PATIENCE_S = 120.0
LANGUAGE_HOST = "pulumi-language-python"
"""Looks after the engine every five minutes, as Pulumi's own does, and then ends: nobody waits for that here."""


@pytest.fixture
def stack(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> PulumiStack:
    need_gcloud()
    return everything(tmp_path / "x", pulumi_cli, cloud)


def eventually(what: str, limit_s: float, is_so: Iterator[bool], instead: Callable[[], str]) -> None:
    deadline = time.monotonic() + limit_s
    while not next(is_so):
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}, but {instead()}"
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
    """A run of the CLI whose calls of some methods get no answer; `before` ones are not even carried out.

    It hangs when the checkpoint has in flight exactly what the test expects, and everything else that can be done is in
    it: how long that takes depends on how busy the computer is.
    """

    def __init__(
        self,
        stack: PulumiStack,
        *words: str,
        before: Sequence[str] = (),
        after: Sequence[str] = (),
        in_flight: Sequence[str],
        done: Counter[str],
    ) -> None:
        self.stack = stack
        faults = [
            stack.cloud.plant(method=method.replace(".", r"\."), kind="hang", nth=0, after_work=method in after)
            for method in (*before, *after)
        ]
        words = (*words, "--yes", "--skip-preview", "--parallel", "32", "--stack", stack.name)
        self.process: subprocess.Popen[str] = stack.start(*words)

        def hangs() -> Iterator[bool]:
            while True:
                assert self.process.poll() is None, self.process.communicate()[0]
                struck = sum(fault.struck for fault in faults) == len(in_flight)
                yield struck and pending_in_state(stack) == list(in_flight) and kinds_in_state(stack) == done

        eventually(f"in flight: {in_flight}", PATIENCE_S, hangs(), lambda: str(pending_in_state(stack)))

    def kill(self) -> None:
        """End the CLI alone, and see that what it had started ends by itself."""
        leader = self.process.pid
        assert any(
            "tests.support.fakes.provider" in line or "pulumi-resource-gcp" in line for line in session(leader).values()
        )
        os.kill(leader, signal.SIGKILL)
        self.process.wait(10)

        def alone() -> Iterator[bool]:
            while True:
                yield all(f"/{LANGUAGE_HOST} " in f"{line} " for line in session(leader).values())

        eventually("ended by itself", PATIENCE_S, alone(), lambda: str(session(leader)))
        for pid in session(leader):
            os.kill(pid, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.stack.cloud.faults.clear()


def recover(stack: PulumiStack, *flags: str) -> "subprocess.CompletedProcess[str]":
    return fab("recover", "--stack", stack.name, *flags, project=stack.folder, environment=recovery_environment(stack))


def verdicts(printed: str) -> list[str]:
    """The steps as `verdict name`, without reasons."""
    return sorted(" ".join(line.split()[:3:2]) for line in printed.splitlines() if "(was " in line)


def settle(stack: PulumiStack, owner: int, says: str = "") -> list[str]:
    """Shown, then done: as a person would. Returns what was decided."""
    before = pending_in_state(stack)
    planned = recover(stack)
    assert planned.returncode == 0, planned.stderr
    assert f"process {owner}, since " in planned.stdout
    assert says in planned.stdout
    assert planned.stderr == "Nothing was changed. Add --yes to do this.\n"
    assert pending_in_state(stack) == before
    done = recover(stack, "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(planned.stdout)
    assert pending_in_state(stack) == []
    return verdicts(done.stdout)


def assert_everything_once(stack: PulumiStack) -> None:
    """After one more `up`, each thing is there once, in the cloud as in the state, and no change is left."""
    stack.up("--parallel", "32")
    now = held(stack)
    assert (now.orphans, now.ghosts) == ([], [])
    assert kinds_in_state(stack) == HOW_MANY
    assert stack.plan() == {}


def test_creates_in_flight_at_the_roots_half_of_them_carried_out(stack: PulumiStack) -> None:
    after = ("Network", "Bucket", "NotificationChannel")
    before = ("Disk", "Secret", "Account", "ResourcePolicy")
    run = Hanging(
        stack,
        "up",
        after=[METHODS[each] for each in after],
        before=[METHODS[each] for each in before],
        in_flight=[
            "creating alerts-email",
            "creating host-main-boot",
            "creating identity-main-account",
            "creating models-bucket",
            "creating models-data-main",
            "creating models-snapshots",
            "creating network-vpc",
            "creating secrets-gateway-api-keys",
            "creating secrets-hub-token",
        ],
        done=Counter(),
    )
    refused = recover(stack, "--yes")
    assert refused.returncode == 1
    assert ": held by a process that runs, got " in refused.stderr
    assert f"process {run.process.pid}, since " in refused.stderr
    run.kill()
    locked = stack.up(check=False)
    assert locked.status != 0
    assert "the stack is currently locked by 1 lock(s)" in locked.said
    assert settle(stack, run.process.pid) == [
        "clear host-main-boot",
        "clear identity-main-account",
        "clear models-data-main",
        "clear models-snapshots",
        "clear secrets-gateway-api-keys",
        "clear secrets-hub-token",
        "import alerts-email",
        "import models-bucket",
        "import network-vpc",
    ]
    assert_everything_once(stack)


def test_creates_in_flight_at_the_leaves_then_an_update_then_a_delete(stack: PulumiStack) -> None:
    kinds = ("Instance", "AlertPolicy", "SecretVersion", "Budget", "IAMCustomRole")
    leaves = [
        "alerts-disk-full",
        "alerts-down-main",
        "alerts-idle",
        "alerts-memory-pressure",
        "budget-monthly",
        "host-main-instance",
        "identity-main-stop-role",
        "secrets-gateway-api-keys-version",
        "secrets-hub-token-version",
    ]
    run = Hanging(
        stack,
        "up",
        after=[METHODS[each] for each in kinds],
        in_flight=[f"creating {each}" for each in leaves],
        done=Counter({kind: count for kind, count in HOW_MANY.items() if kind not in (*kinds, "InstanceIAMMember")}),
    )
    run.kill()
    assert settle(stack, run.process.pid) == [f"import {each}" for each in leaves]
    assert_everything_once(stack)

    document = yaml.safe_load(stack.settings_file.read_text())
    document["config"]["axion:hosts"]["main"] |= {"dataDiskGib": 240, "machineType": "c4a-standard-48"}
    stack.settings_file.write_text(yaml.safe_dump(document, sort_keys=False))
    disk, vm = "updating models-data-main", "updating host-main-instance"
    run = Hanging(stack, "up", after=["compute.disks.resize"], in_flight=[disk], done=HOW_MANY)
    run.kill()
    assert settle(stack, run.process.pid) == ["refresh models-data-main"]
    run = Hanging(stack, "up", after=["compute.instances.setMachineType"], in_flight=[vm], done=HOW_MANY)
    run.kill()
    # Stopped to be changed, and nobody is left to start it.
    said = "it is stopped, and you start it: `gcloud compute instances start axion-prod-main "
    assert settle(stack, run.process.pid, said) == ["refresh host-main-instance"]
    assert_everything_once(stack)
    instance = stack.cloud.state.resources["projects/axion-test/zones/us-central1-a/instances/axion-prod-main"]
    assert instance["machineType"].endswith("/c4a-standard-48")

    held_up = ["alerts-email", "host-main-boot", "models-bucket", "models-data-main"]
    run = Hanging(
        stack,
        "destroy",
        after=["compute.disks.delete", "storage.buckets.delete"],
        before=["monitoring.projects.notificationChannels.delete"],
        in_flight=[f"deleting {each}" for each in held_up],
        done=Counter({"Disk": 2, "Bucket": 1, "NotificationChannel": 1}),
    )
    run.kill()
    assert settle(stack, run.process.pid) == [f"refresh {each}" for each in held_up]
    stack.destroy()
    now = held(stack)
    # Google keeps the id of a deleted role for a month, and the versions of a deleted secret for ever.
    assert [each for each in now.cloud if "/roles/axion_prod_stop" not in each] == []
    assert now.state == []
