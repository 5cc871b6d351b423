"""What a stack's snapshots hold, what they cost, and that none goes without its disk's name being typed."""

from pathlib import Path
from typing import Any

import pytest

from build.cloud.census import belongs
from build.cloud.gcloud import Gcloud
from build.cloud.snapshots import chosen, copies, remove
from build.remote.executor import LocalExecutor
from deployment.errors import ConfigError
from tests.support.replayed_gcloud import ReplayedGcloud, says
from tests.unit.build.cloud.test_census import DATA_DISK, OURS, REGION, ZONE, kind, taken


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReplayedGcloud:
    return ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)


SNAPSHOT = {
    "storageBytes": str(3 * 2**30),
    "storageLocations": ["us-central1"],
    "creationTimestamp": "2026-11-28T03:00:00Z",
}
SCHEDULED = {
    **SNAPSHOT,
    "name": "axion-dev-data-main-us-c-2026112803",
    "sourceDisk": f"{ZONE}/disks/axion-dev-data",
    "labels": OURS,
}
# The provider's own, made before it deletes the disk: the disk's name, the time, and no label.
LAST = {
    **SNAPSHOT, "name": "axion-dev-old-20261129-101112", "sourceDisk": f"{ZONE}/disks/axion-dev-old",
    "creationTimestamp": "2026-11-29T10:11:12Z",
}  # fmt: skip
NOT_OURS = [
    {**SNAPSHOT, "name": "mine", "sourceDisk": f"{ZONE}/disks/axion-devel-data"},
    {**SNAPSHOT, "name": "axion-dev-2-data-x", "sourceDisk": f"{ZONE}/disks/axion-dev-2-data"},
    {
        **SNAPSHOT,
        "name": "axion-dev-data-x",
        "sourceDisk": f"{ZONE}/disks/axion-dev-data",
        "labels": {"axion-stack": "x"},
    },
]
SNAPSHOTS = says("compute snapshots list", [SCHEDULED, LAST, *NOT_OURS])


def test_snapshots_are_found_by_label_or_by_their_disk_and_cost_what_is_stored(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(SNAPSHOTS)
    census = taken("dev", "dev-2")
    # 3 GiB x 0.05; Google's price in us-central1 since April 2023.
    found: list[Any] = [(each.name, each.monthly_usd, each.remark) for each in census.found]
    assert found == [
        ("axion-dev-data-main-us-c-2026112803", pytest.approx(0.15), "of axion-dev-data, 2026-11-28, 3.0 GiB"),
        ("axion-dev-old-20261129-101112", pytest.approx(0.15), "of axion-dev-old, 2026-11-29, 3.0 GiB"),
    ]


@pytest.mark.parametrize("changes", [
    {"storageLocations": ["asia-northeast1"]}, {"storageLocations": []}, {"snapshotType": "ARCHIVE"},
    {"storageBytes": None}, {"storageLocations": ["us-central1", "us-east1"]},
])  # fmt: skip
def test_a_snapshot_of_unknown_price_is_not_free(gcloud: ReplayedGcloud, changes: dict[str, Any]) -> None:
    gcloud.answers(says("compute snapshots list", [{**LAST, **changes}]))
    assert taken().unknown == ("axion-dev-old-20261129-101112",)


def test_what_only_snapshots_still_hold_is_said_and_removed_by_its_disk_s_name(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(says("compute disks list", [DATA_DISK]), SNAPSHOTS)
    census = taken("dev", "dev-2")
    of_data, of_old = copies(census)
    assert of_data.sentence() == (
        "axion-dev-data: 1 snapshot, 3.0 GiB, 0.15 USD a month, the newest of 2026-11-28. A disk of that name is in "
        "us-central1-a."
    )
    assert of_old.sentence() == (
        "axion-dev-old: 1 snapshot, 3.0 GiB, 0.15 USD a month, the newest of 2026-11-29. The disk is gone: it is the "
        "only copy of what was on it."
    )
    left = remove(chosen((of_data, of_old), "axion-dev-old"), census, Gcloud(LocalExecutor(), "p"))
    assert [each.name for each in left.found] == ["axion-dev-data", "axion-dev-data-main-us-c-2026112803"]
    assert [call for call in gcloud.calls if "delete" in call] == [
        "compute snapshots delete axion-dev-old-20261129-101112 --project=p --format=json --quiet"
    ]


@pytest.mark.parametrize("typed", ["axion-dev-old,axion-dev-data-main-us-c-2026112803", "yes", "", " , "])
def test_nothing_is_removed_but_by_the_right_name(gcloud: ReplayedGcloud, typed: str) -> None:
    gcloud.answers(SNAPSHOTS)
    with pytest.raises(ConfigError, match="Type one of: axion-dev-data, axion-dev-old"):
        chosen(copies(taken("dev", "dev-2")), typed)


def test_a_disk_that_nothing_uses_says_since_when(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(
        says("compute disks list", [
            {**DATA_DISK, "name": "axion-dev-a", "users": [f"{ZONE}/instances/axion-dev-main"]},
            {**DATA_DISK, "name": "axion-dev-b", "lastDetachTimestamp": "2026-11-20T10:00:00.000-08:00"},
            {**DATA_DISK, "name": "axion-dev-c"},
        ]),
        says("compute addresses list", [{"name": "axion-dev-main-ip", "status": "RESERVED", "region": REGION}]),
    )  # fmt: skip
    assert {each.name: each.remark for each in taken().found} == {
        "axion-dev-a": "200 GiB", "axion-dev-b": "200 GiB, unattached since 2026-11-20",
        "axion-dev-c": "200 GiB, never attached", "axion-dev-main-ip": "unused",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("item", "is_ours"),
    [
        ({"name": "axion-dev-data-main-20261129-101112"}, True),
        ({"name": "mine", "sourceDisk": "zones/z/disks/axion-dev-data-main"}, True),
        ({"name": "mine", "sourceDisk": "zones/z/disks/axion-dev-2-data-main"}, False),
        ({"name": "mine", "labels": OURS}, True),
        ({"name": "axion-dev-x", "labels": {"axion-stack": "dev-2"}}, False),
        ({"name": "axion-dev-x", "labels": {"team": "search"}}, True),
        ({"name": "mine"}, False),
    ],
)
def test_whose_a_snapshot_is(item: dict[str, Any], is_ours: bool) -> None:
    assert belongs(kind("snapshot"), item, "dev", ["dev-2"]) is is_ours
