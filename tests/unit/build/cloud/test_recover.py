"""Whose lock may be released, what to ask for each pending create, and how the state is settled: without a cloud."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from build.cloud.checkpoint import Checkpoint
from build.cloud.gcloud import Gcloud
from build.cloud.locks import Lock, local_backend, parse_lock, read_locks, release, started_at, why_kept
from build.cloud.pending import KNOWN, REPEATABLE, Creation, Place
from build.cloud.pulumi_cli import Pulumi, pulumi_error
from build.cloud.recover import plan_recovery
from build.errors import DeployError
from build.remote.executor import LocalExecutor
from deployment.errors import ConfigError
from tests.support.pending_creates import CREATIONS
from tests.support.replayed_gcloud import ReplayedGcloud, refuses, says

AT = datetime(2026, 11, 23, 20, 25, 18, tzinfo=UTC)
LOCK = Lock(place="/s/lock.json", pid=4711, username="ann", hostname="here", timestamp=AT)
PLACE = Place("p", "us-central1", "us-central1-a")
URN = "urn:pulumi:dev::axion::gcp:compute/instance:Instance::vm"


def kept(lock: Lock = LOCK, foreign_host: str | None = None, began: float | None = None) -> str | None:
    return why_kept(lock, foreign_host=foreign_host, here="here", began=lambda pid: began if pid == lock.pid else None)


def test_a_lock_is_released_when_its_process_is_gone() -> None:
    assert kept(began=None) is None


def test_a_lock_is_kept_while_its_process_runs() -> None:
    assert kept(began=AT.timestamp() - 3) == (
        "/s/lock.json: held by a process that runs, got ann@here, process 4711, since 2026-11-23 20:25:18 UTC. "
        "Wait until it ends, or end it yourself."
    )


def test_a_younger_process_with_the_same_number_is_not_the_owner() -> None:
    assert kept(began=AT.timestamp() + 60) is None


def test_a_lock_of_another_computer_needs_its_name() -> None:
    foreign = Lock(place="/s/lock.json", pid=4711, username="ann", hostname="laptop", timestamp=AT)
    refused = kept(foreign, began=None)
    assert refused is not None
    assert refused.endswith("process 4711 has ended on laptop, then add `--foreign-host laptop`.")
    assert kept(foreign, foreign_host="laptop") is None
    assert kept(foreign, foreign_host="another") is not None
    # The flag gives no right over what is here.
    assert kept(began=AT.timestamp() - 3, foreign_host="here") is not None


def test_a_lock_is_read_as_pulumi_writes_it() -> None:
    text = '{"pid":15546,"username":"root","hostname":"vm","timestamp":"2026-11-23T20:25:18.110155359Z"}'
    lock = parse_lock(text, "x")
    assert (lock.pid, lock.owner) == (15546, "root@vm, process 15546, since 2026-11-23 20:25:18 UTC")


FIELDS = "no JSON object with pid, username, hostname and timestamp"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        *((text, FIELDS) for text in ("", "{}", "[]", "3", '{"pid": 1, "username": "a"}', "[" * 100_000)),
        *(
            (
                f'{{"pid": {pid}, "username": "a", "hostname": "b", "timestamp": {at}}}',
                f"no process and time, got {got}",
            )
            for pid, at, got in (
                ('"x"', '"2026-11-23T20:25:18Z"', '"x" and "2026-11-23T20:25:18Z"'),
                (str(10**20), '"2026-11-23T20:25:18Z"', '100000000000000000000 and "2026-11-23T20:25:18Z"'),
                ("7", '"noon"', '7 and "noon"'),
            )
        ),
    ],
)
def test_what_is_no_lock_is_a_sentence(text: str, what: str) -> None:
    with pytest.raises(DeployError) as caught:
        parse_lock(text, "x")
    assert str(caught.value) == f"x: not a lock of Pulumi's: {what}. Look at it by hand."


def test_a_directory_without_a_project_is_a_sentence(tmp_path: Path) -> None:
    pulumi = Pulumi(executor=LocalExecutor(), directory=tmp_path, stack="dev")
    path = tmp_path / "Pulumi.yaml"
    for text, said in (
        (None, f"{path}: not found. Run it in the checkout."),
        ("", f"{path}: names no project. Run it in the checkout."),
        ("runtime: python\n", f"{path}: names no project. Run it in the checkout."),
        ("a: [", f"{path}:1: not YAML: expected the node content, but found '<stream end>'. Correct the line."),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises((ConfigError, DeployError)) as caught:
            _ = pulumi.project
        assert str(caught.value) == said


def test_when_a_process_began_is_known_and_one_that_ended_is_gone() -> None:
    began = started_at(os.getpid())
    assert began is not None
    assert 0 < began < datetime.now(UTC).timestamp() + 1
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    fresh = started_at(child.pid)
    assert fresh is not None
    assert abs(fresh - datetime.now(UTC).timestamp()) < 5
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert started_at(child.pid) is None  # a zombie holds nothing
    child.wait()
    assert started_at(child.pid) is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/state", "/srv/state"),
        ("file:///srv/state?no_tmp_dir=true", "/srv/state"),
        ("file://~", str(Path.home())),
        ("file://./state", "/project/state"),
        ("file://state/x", "/project/state/x"),
        ("file:///srv/my%20state", "/srv/my state"),
    ],
)
def test_a_file_backend_is_found_as_pulumi_finds_it(url: str, path: str) -> None:
    assert local_backend(url, Path("/project")) == Path(path)


@pytest.mark.parametrize(("kind", "inputs", "question", "answer", "identity"), CREATIONS)
def test_each_kind_is_asked_for_in_its_own_words(
    kind: str, inputs: dict[str, str], question: str, answer: Any, identity: str | None
) -> None:
    creation, known = Creation(type=f"gcp:{kind}", inputs=inputs, place=PLACE), KNOWN[f"gcp:{kind}"]
    assert creation.full(known.describe) == question
    assert known.find(creation, answer) == identity


def test_every_type_that_the_project_uses_can_be_recovered() -> None:
    used = {"compute/network:Network", "compute/subnetwork:Subnetwork", "compute/router:Router", "compute/disk:Disk",
            "compute/routerNat:RouterNat", "compute/firewall:Firewall", "compute/resourcePolicy:ResourcePolicy",
                "compute/address:Address",
            "compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment", "compute/instance:Instance",
            "compute/instanceIAMMember:InstanceIAMMember", "serviceaccount/account:Account",
            "projects/iAMMember:IAMMember", "projects/iAMCustomRole:IAMCustomRole", "secretmanager/secret:Secret",
            "secretmanager/secretVersion:SecretVersion", "secretmanager/secretIamMember:SecretIamMember",
            "storage/bucket:Bucket", "storage/bucketIAMMember:BucketIAMMember", "billing/budget:Budget",
            "monitoring/alertPolicy:AlertPolicy", "monitoring/notificationChannel:NotificationChannel"}  # fmt: skip
    assert {f"gcp:{kind}" for kind in used} == set(KNOWN) | REPEATABLE


def test_settling_adds_what_is_there_and_drops_every_pending_operation() -> None:
    resource = {"urn": URN, "type": "gcp:compute/instance:Instance", "inputs": {"name": "vm"}}
    other = {"urn": f"{URN}2", "type": "gcp:compute/instance:Instance"}
    operations = [{"type": "creating", "resource": each} for each in (resource, other)]
    before = {"version": 3, "deployment": {"resources": [{"urn": "stack"}], "pending_operations": operations}}
    assert Checkpoint(before).settled({URN: "the-id"}).document == {
        "version": 3,
        "deployment": {"resources": [{"urn": "stack"}, {**resource, "id": "the-id"}]},
    }
    assert before["deployment"]["pending_operations"] == operations  # type: ignore[index] # what was exported stays


class Recorded(Pulumi):
    """Pulumi with a checkpoint in memory and no lock."""

    def backend(self) -> str:
        return f"file://{self.directory}"

    @property
    def project(self) -> str:
        return "axion"

    def export(self) -> Checkpoint:
        create = {"urn": URN, "type": "gcp:compute/instance:Instance", "inputs": {"name": "vm"}}
        provider = {"urn": "p", "type": "pulumi:providers:gcp", "inputs": {"project": "real"}}
        operations = [{"type": "creating", "resource": create}]
        return Checkpoint({"deployment": {"resources": [provider], "pending_operations": operations}})


def test_a_create_that_google_still_works_on_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)
    running = {"name": "operation-1", "status": "RUNNING", "targetLink": "https://x/zones/z/instances/vm"}
    done = {**running, "name": "operation-0", "status": "DONE"}
    replayed.answers(says("operations list", [done, running]), refuses("describe", "ERROR: was not found"))
    pulumi = Recorded(executor=LocalExecutor(), directory=tmp_path, stack="dev")
    gcloud = Gcloud(LocalExecutor(), "p")
    with pytest.raises(DeployError) as caught:
        plan_recovery(pulumi, gcloud, PLACE)
    assert caught.value.problems == (
        "Instance vm: Google is still at it, got operation operation-1. "
        "Wait until it has ended, then run the same command.",
    )
    replayed.answers(says("operations list", [done]), refuses("describe", "ERROR: was not found"))
    assert [step.verdict for step in plan_recovery(pulumi, gcloud, PLACE).steps] == ["clear"]
    replayed.answers(says("operations list", [done]), says("describe", {"name": "vm"}))
    # The project is the provider's own, not the one of a file that somebody may have edited since.
    (step,) = plan_recovery(pulumi, gcloud, PLACE).steps
    assert (step.verdict, step.id) == ("import", "projects/real/zones/us-central1-a/instances/vm")


def test_a_host_that_came_and_stopped_before_it_was_recovered_is_imported_and_said_to_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spot machine may be taken back while nobody watches; to Pulumi a stopped instance is as it should be."""
    replayed = ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)
    replayed.answers(says("operations list", []), says("describe", {"name": "vm", "status": "TERMINATED"}))
    pulumi = Recorded(executor=LocalExecutor(), directory=tmp_path, stack="dev")
    (step,) = plan_recovery(pulumi, Gcloud(LocalExecutor(), "p"), PLACE).steps
    assert step.verdict == "import"
    assert step.why.endswith(
        "; it is stopped, and you start it: `gcloud compute instances start vm --zone=us-central1-a`"
    )


class InABucket(Recorded):
    """Pulumi with its state in a bucket."""

    def backend(self) -> str:
        return "gs://states/team"


def test_a_bucket_s_lock_is_read_and_released_through_gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)
    name = "team/.pulumi/locks/organization/axion/dev/1.json"
    content = {"pid": 1, "username": "ann", "hostname": socket.gethostname(), "timestamp": "2020-01-01T00:00:00Z"}
    replayed.answers(says("storage objects list", [{"bucket": "states", "name": name}]), says("storage cat", content))
    gcloud = Gcloud(LocalExecutor(), "p")
    (lock,) = read_locks(InABucket(executor=LocalExecutor(), directory=tmp_path, stack="dev"), gcloud)
    assert (lock.place, lock.pid) == (f"gs://states/{name}", 1)
    release(lock, gcloud)
    assert [call.partition(" --")[0] for call in replayed.calls] == [
        "storage objects list gs://states/team/.pulumi/locks/organization/axion/dev/*.json",
        f"storage cat gs://states/{name}",
        f"storage rm gs://states/{name}",
    ]


def test_pulumi_s_own_error_is_found_among_what_it_prints() -> None:
    stderr = "warning: using a plugin from $PATH\nerror: no stack named 'nope' found\n"
    assert pulumi_error(stderr, "").problem("export the stack's state") == (
        "export the stack's state: no such stack, got no stack named 'nope' found. `pulumi stack ls` tells those "
        "there are; `pulumi stack init` makes one."
    )
    urn = "urn:pulumi:dev::axion::axion:infra:ModelStore$gcp:compute/disk:Disk::models-data-main"
    protected = f'    error: unable to replace resource "{urn}"\n    as it is currently marked for protection. To x'
    error = pulumi_error(f"warning: timed out\n{protected}\n\nResources:\n    state:STOCKOUT\n", "")
    assert (error.kind.name, "axion-dev-data-main" in error.next_step) == ("PROTECTED", True)
