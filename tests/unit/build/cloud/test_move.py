"""What `fab move` decides from what Google says, and what it takes for a whole copy."""

import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from build.cloud.checkpoint import Checkpoint
from build.cloud.data_disk import StateDisk, is_empty, pointed_at, state_disks
from build.cloud.gcloud import Gcloud
from build.cloud.move import Move, carry_out, decide, prove
from build.cloud.pulumi_cli import Pulumi
from build.cloud.whereabouts import Found
from build.errors import DeployError
from build.remote.command import Command, Result

Json = dict[str, Any]
NAME = "axion-prod-data-main"
OTHER = "us-central1-b"
URN = "urn:pulumi:prod::axion::axion:infra:ModelStore$gcp:compute/disk:Disk::models-data-main"
IN_STATE = StateDisk(urns=(URN,), name=NAME, zone="us-central1-a")
EIGHT, NINE, TEN = (f"2026-11-30T{hour}:00:00.000-00:00" for hour in ("08", "09", "10"))
VM = "projects/p/zones/us-central1-a/instances/axion-prod-main"


def disk(**facts: Any) -> Json:
    whole = {"id": "11", "name": NAME, "type": "t/hyperdisk-balanced", "sizeGb": "200", "creationTimestamp": EIGHT}
    return {**whole, "status": "READY", "lastAttachTimestamp": EIGHT, **facts}


def snapshot(**facts: Any) -> Json:
    whole = {"id": "31", "name": "snap", "sourceDiskId": "11", "status": "READY", "creationTimestamp": TEN}
    return {**whole, **facts}


def instance(status: str) -> Json:
    return {"name": "axion-prod-main", "status": status, "lastStopTimestamp": NINE}


def found(**facts: Any) -> Found:
    nothing: Json = {"new": None, "instance": None, "snapshots": (), "configured_zone": "us-central1-a"}
    return Found(**{"disk": IN_STATE, "old": disk(lastDetachTimestamp=NINE), **nothing, **facts})


def steps(facts: Found) -> list[str]:
    return [sentence.partition(" ")[0] for sentence in decide("main", OTHER, facts, "p").sentences()]


RUNS = {"old": disk(users=[VM]), "instance": instance("RUNNING")}
STOPPED = {"old": disk(users=[VM]), "instance": instance("TERMINATED")}
LET_GO = disk(lastDetachTimestamp=NINE)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (RUNS, ["stop", "detach", "make", "make", "point", "set"]),
        (STOPPED, ["detach", "make", "make", "point", "set"]),
        # Cut off after the snapshot; after the disk; after the state.
        ({"old": LET_GO}, ["make", "make", "point", "set"]),
        ({"old": LET_GO, "snapshots": (snapshot(),)}, ["make", "point", "set"]),
        ({"old": LET_GO, "snapshots": (snapshot(),), "new": disk(id="12", sourceSnapshotId="31")}, ["point", "set"]),
        ({"disk": StateDisk(urns=(URN,), name=NAME, zone=OTHER)}, ["set"]),
        ({"disk": StateDisk(urns=(URN,), name=NAME, zone=OTHER), "configured_zone": OTHER}, []),
        # Snapshots that do not hold everything: older than the last stop, of another disk, failed, of a running host.
        ({"old": LET_GO, "snapshots": (snapshot(creationTimestamp=EIGHT),)}, ["make", "make", "point", "set"]),
        ({"old": LET_GO, "snapshots": (snapshot(sourceDiskId="10"),)}, ["make", "make", "point", "set"]),
        ({"old": LET_GO, "snapshots": (snapshot(status="FAILED"),)}, ["make", "make", "point", "set"]),
        ({"old": LET_GO, "snapshots": (snapshot(status="UPLOADING"),)}, ["make", "make", "point", "set"]),
        ({**RUNS, "snapshots": (snapshot(),)}, ["stop", "detach", "make", "make", "point", "set"]),
        # Nobody says when it was let go.
        ({"old": disk(), "snapshots": (snapshot(),)}, ["make", "make", "point", "set"]),
        # Back to the disk that this one is an unused copy of.
        (
            {
                "old": {**disk(id="12", sourceSnapshotId="31"), "lastAttachTimestamp": None},
                "snapshots": (snapshot(),),
                "new": disk(),
            },
            ["point", "set"],
        ),
    ],
)
def test_a_move_does_what_is_left_of_it(facts: Json, expected: list[str]) -> None:
    assert steps(found(**facts)) == expected


OCCUPIED = (
    "axion-prod-data-main: one of that name is in us-central1-b already and does not hold the same, got one made "
    f"{EIGHT}. If nobody needs it: `gcloud compute disks delete axion-prod-data-main --zone=us-central1-b --project=p`."
)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({**STOPPED, "new": disk(id="12")}, OCCUPIED),
        ({**STOPPED, "new": disk(id="12", sourceSnapshotId="30"), "snapshots": (snapshot(),)}, OCCUPIED),
        # The copy was used since: the origin is older.
        (
            {"old": disk(id="12", sourceSnapshotId="31"), "snapshots": (snapshot(),), "new": disk()},
            OCCUPIED,
        ),
        (
            {"old": None},
            "axion-prod-data-main: not in us-central1-a, where Pulumi has it. If it was deleted by hand, run "
            "`pulumi refresh`.",
        ),
        (
            {"old": disk(users=["projects/p/zones/us-central1-a/instances/stranger"])},
            "axion-prod-data-main: used by another machine, got stranger. Detach it there first.",
        ),
        (
            {"old": disk(type="t/hyperdisk-ml")},
            "axion-prod-data-main: of a type that can only be read when it is made from a snapshot, got hyperdisk-ml. "
            "Take a copy of what is on it by hand, and a new disk of another type.",
        ),
    ],
)
def test_a_move_that_would_mix_up_or_lose_anything_is_refused(facts: Json, problem: str) -> None:
    with pytest.raises(DeployError) as refused:
        decide("main", OTHER, found(**facts), "p")
    assert refused.value.problems == (problem,)


class Says:
    """gcloud's answers about the new disk and the snapshot."""

    def __init__(self, disk: Json, snapshot: Json) -> None:
        self.answers = {"disks": disk, "snapshots": snapshot}

    def run(self, command: Command, on_line: Any = None) -> Result:
        return Result(status=0, stdout=json.dumps(self.answers[command.argv[2]]), stderr="")

    def open(self, command: Command) -> Any:
        raise AssertionError("nothing stays open here")


@pytest.mark.parametrize(
    ("new", "made", "wrong"),
    [
        ({}, {}, None),
        ({}, {"status": "CREATING"}, "the snapshot is not ready"),
        ({}, {"sourceDiskId": "10"}, "the snapshot is of another disk"),
        ({"status": "FAILED"}, {}, "the disk there is not ready"),
        ({"sourceSnapshotId": "30"}, {}, "the disk there is not from the snapshot"),
        ({"sizeGb": "100"}, {}, "the disk there is smaller"),
    ],
)
def test_a_copy_is_held_against_what_it_was_copied_from(new: Json, made: Json, wrong: str | None) -> None:
    says = Says(disk(**{"id": "12", "sourceSnapshotId": "31", **new}), snapshot(**made))
    move = Move(host="main", zone=OTHER, found=found(), configures=True, copies=True)
    if wrong is None:
        prove(Gcloud(says, "p"), move, "snap")
        return
    with pytest.raises(DeployError, match=f"not moved, got {wrong}"):
        prove(Gcloud(says, "p"), move, "snap")


def test_a_move_that_goes_on_proves_the_copy_that_it_finds_before_the_state_names_it() -> None:
    facts = found(old=LET_GO, new=disk(id="12", sourceSnapshotId="31", status="FAILED"), snapshots=(snapshot(),))
    move = decide("main", OTHER, facts, "p")
    assert (move.copies, move.points) == (False, True)
    says = Says(disk(id="12", sourceSnapshotId="31", status="FAILED"), snapshot())
    # Nobody is there whose state could be written.
    with pytest.raises(DeployError, match="not moved, got the disk there is not ready"):
        carry_out(move, cast(Pulumi, None), Gcloud(says, "p"), datetime.now(UTC))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"lastAttachTimestamp": None}, True),
        ({}, False),
        ({"lastAttachTimestamp": None, "users": [VM]}, False),
        ({"lastAttachTimestamp": None, "sourceSnapshot": "s"}, False),
        ({"lastAttachTimestamp": None, "sourceImage": "i"}, False),
    ],
)
def test_a_disk_is_empty_when_nothing_ever_wrote_on_it(facts: Json, expected: bool) -> None:
    assert is_empty(disk(**facts)) is expected


def test_the_state_is_pointed_at_the_other_disk_and_nothing_else_in_it_changes() -> None:
    resource = {
        "urn": URN,
        "type": "gcp:compute/disk:Disk",
        "id": f"projects/p/zones/us-central1-a/disks/{NAME}",
        "inputs": {"name": NAME, "zone": "us-central1-a"},
        "outputs": {"name": NAME, "zone": "us-central1-a", "size": 200},
    }
    checkpoint = Checkpoint({"version": 3, "deployment": {"resources": [{"urn": "other", "type": "t"}, resource]}})
    assert state_disks(checkpoint) == {"main": IN_STATE}
    link = f"https://www.googleapis.com/compute/v1/projects/p/zones/{OTHER}/disks/{NAME}"
    moved = pointed_at(checkpoint, IN_STATE, {"id": 12, "zone": f"projects/p/zones/{OTHER}", "selfLink": link}).document
    assert moved["deployment"]["resources"][0] == {"urn": "other", "type": "t"}
    assert moved["deployment"]["resources"][1] == {
        **resource,
        "id": f"projects/p/zones/us-central1-b/disks/{NAME}",
        "inputs": {"name": NAME, "zone": OTHER},
        "outputs": {"name": NAME, "zone": OTHER, "size": 200, "selfLink": link, "diskId": "12"},
    }
    assert checkpoint.document["deployment"]["resources"][1] == resource
