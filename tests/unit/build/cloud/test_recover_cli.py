"""`fab recover` after a killed `pulumi up`: the real CLI, the real gcloud, the small cloud."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes.cloud.server import Cloud, running
from tests.support.gcloud_on_cloud import fab, gcloud_environment, need_gcloud
from tests.support.pulumi_stack import HOW_TO_GET_IT, PulumiStack, find_cli

PROGRAM = """
import pulumi

class Resource(pulumi.CustomResource):
    self_link: pulumi.Output[str]
    def __init__(self, kind, name, props):
        super().__init__(kind, name, {**props, "selfLink": None})

labels = {"axion-stack": "dev", "axion-component": "test", "managed-by": "pulumi"}
zone, region = "us-central1-a", "us-central1"
network = Resource("gcp:compute/network:Network", "network", {
    "name": "axion-dev-vpc", "autoCreateSubnetworks": False})
subnet = Resource("gcp:compute/subnetwork:Subnetwork", "subnet", {
    "name": "axion-dev-subnet", "network": network.selfLink, "region": region, "ipCidrRange": "10.20.0.0/24"})
disk = Resource("gcp:compute/disk:Disk", "disk", {
    "name": "axion-dev-data-main", "zone": zone, "type": "hyperdisk-balanced", "size": SIZE, "labels": labels})
Resource("gcp:compute/instance:Instance", "instance", {
    "name": "axion-dev-main", "zone": zone, "machineType": "c4a-standard-8", "labels": labels,
    "bootDisk": {"autoDelete": True, "initializeParams": {
        "image": "projects/debian-cloud/global/images/family/debian-12-arm64", "type": "hyperdisk-balanced", "size": 30,
        "labels": labels}},
    "attachedDisks": [{"source": disk.selfLink}],
    "networkInterfaces": [{"subnetwork": subnet.selfLink, "nicType": "GVNIC"}],
    "scheduling": {"onHostMaintenance": "MIGRATE", "automaticRestart": True},
})
"""
STRIKE_LIMIT_S = 60.0


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with running() as made:
        yield made


@pytest.fixture
def stack(tmp_path: Path, cloud: Cloud) -> PulumiStack:
    need_gcloud()
    cli = find_cli()
    if cli is None:
        pytest.skip(f"pulumi: not found, so nothing was recovered from it. {HOW_TO_GET_IT}")
    return PulumiStack.create(tmp_path, cli, cloud, PROGRAM.replace("SIZE", "60"))


def recover(stack: PulumiStack, *flags: str) -> "subprocess.CompletedProcess[str]":
    environment = {**stack.environment, **gcloud_environment(stack.cloud, stack.folder.parent)}
    return fab("recover", "--stack", stack.name, *flags, project=stack.folder, environment=environment)


def kill_during(stack: PulumiStack, method: str, *words: str, after_work: bool) -> int:
    """Kill the CLI alone while the cloud is at a call, before or after it has done what it was asked."""
    fault = stack.cloud.plant(method=method, kind="hang", after_work=after_work)
    process = stack.start(*words, "--yes", "--skip-preview", "--stack", stack.name)
    deadline = time.monotonic() + STRIKE_LIMIT_S
    while not fault.struck:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"{method} was not called within {STRIKE_LIMIT_S:g} s"
        time.sleep(0.05)
    time.sleep(0.5 if after_work else 0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()
    stack.cloud.faults.clear()
    end_session(process.pid)
    return process.pid


def end_session(session: int) -> None:
    """End what the killed CLI left running, its language host above all, which waits for ever; by number only."""
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            if os.getsid(pid) == session:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def pending(stack: PulumiStack) -> list[tuple[str, str]]:
    operations = stack.export()["deployment"].get("pending_operations") or []
    return [(each["type"], each["resource"]["urn"].rpartition("::")[2]) for each in operations]


def changes(stack: PulumiStack) -> dict[str, str]:
    """What the next `up` would do; the CLI lists unchanged resources or not as it likes."""
    return {name: step for name, step in stack.plan().items() if step != "same"}


def instances(stack: PulumiStack) -> list[str]:
    return [path for path in stack.cloud.state.resources if "/instances/" in path]


def assert_settled(stack: PulumiStack) -> None:
    """The next `up` ends well, one more changes nothing, and nothing is there twice."""
    stack.up()
    assert changes(stack) == {}
    assert instances(stack) == ["projects/axion-test/zones/us-central1-a/instances/axion-dev-main"]
    again = recover(stack)
    assert (again.returncode, again.stderr) == (0, "dev: nothing to recover. `pulumi up` goes on.\n")


def test_what_was_created_is_imported_and_what_was_not_is_created(stack: PulumiStack) -> None:
    pid = kill_during(stack, r"compute\.instances\.insert", "up", after_work=True)
    assert "the stack is currently locked by 1 lock(s)" in stack.up(check=False).said
    planned = recover(stack)
    assert planned.returncode == 0, planned.stderr
    lock, step = planned.stdout.splitlines()
    assert lock.startswith("release the lock of ")
    assert f"process {pid}, since " in lock
    assert step == (
        "import Instance instance (was creating): the cloud has it as "
        "projects/axion-test/zones/us-central1-a/instances/axion-dev-main"
    )
    assert planned.stderr == "Nothing was changed. Add --yes to do this.\n"
    assert pending(stack) == [("creating", "instance")]
    done = recover(stack, "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout == planned.stdout
    assert pending(stack) == []
    assert changes(stack) == {}
    assert_settled(stack)


def test_a_create_that_never_reached_the_cloud_is_cleared(stack: PulumiStack) -> None:
    kill_during(stack, r"compute\.instances\.insert", "up", after_work=False)
    done = recover(stack, "--yes")
    assert done.returncode == 0, done.stderr
    assert "clear Instance instance (was creating): the cloud does not have it; `pulumi up` creates it" in done.stdout
    assert pending(stack) == []
    assert_settled(stack)


def test_an_update_and_a_delete_in_flight_are_read_from_the_cloud(stack: PulumiStack) -> None:
    stack.up()
    stack.write(PROGRAM.replace("SIZE", "80"))
    kill_during(stack, r"compute\.disks\.(resize|update)", "up", after_work=True)
    assert pending(stack) == [("updating", "disk")]
    done = recover(stack, "--yes")
    assert done.returncode == 0, done.stderr
    assert "refresh Disk disk (was updating): it is in the state" in done.stdout
    assert changes(stack) == {}
    assert_settled(stack)
    kill_during(stack, r"compute\.instances\.delete", "destroy", after_work=True)
    assert pending(stack) == [("deleting", "instance")]
    done = recover(stack, "--yes")
    assert done.returncode == 0, done.stderr
    assert "refresh Instance instance (was deleting): it is in the state" in done.stdout
    assert "instance" not in stack.resources()
    stack.destroy()
    assert [path for path in stack.cloud.state.resources if "axion-dev" in path] == []


def test_a_lock_whose_owner_lives_is_not_touched(stack: PulumiStack) -> None:
    fault = stack.cloud.plant(method=r"compute\.networks\.insert", kind="hang")
    process = stack.start("up", "--yes", "--skip-preview", "--stack", stack.name)
    try:
        while not fault.struck:
            assert process.poll() is None
            time.sleep(0.05)
        refused = recover(stack, "--yes")
        assert refused.returncode == 1
        assert ": held by a process that runs, got " in refused.stderr
        assert f"process {process.pid}, since " in refused.stderr
        assert "Wait until it ends, or end it yourself." in refused.stderr
        assert "the stack is currently locked" in stack.refresh(check=False).said
    finally:
        process.kill()
        end_session(process.pid)
        process.communicate()
