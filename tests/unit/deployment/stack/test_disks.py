"""Which disks Google would make, by the pages of Hyperdisk: sizes, IOPS and throughput of each type, and machines."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.deployment.stack.test_guardrails import AT, checked, problems

REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"dataDiskType": "hyperdisk-balanced-high-availability"},
        "dataDiskType: stands in two zones, and a host's disk in one, got hyperdisk-balanced-high-availability.",
    ),
    ({"bootDiskType": "hyperdisk-balanced-high-availability"}, "bootDiskType: stands in two zones"),
    (
        {"dataDiskType": "hyperdisk-throughput", "dataDiskGib": 2048, "dataDiskThroughput": 600},
        "dataDiskThroughput: hyperdisk-throughput takes 20 to 180 MiB/s at 2048 GiB, got 600.",
    ),
    (
        {"dataDiskType": "hyperdisk-throughput", "dataDiskGib": 32768, "dataDiskThroughput": 200},
        "dataDiskThroughput: hyperdisk-throughput takes 320 to 2400 MiB/s at 32768 GiB, got 200.",
    ),
    (
        {"dataDiskType": "hyperdisk-ml", "dataDiskGib": 100, "dataDiskThroughput": 1_200_000},
        "dataDiskThroughput: hyperdisk-ml takes 400 to 160000 MiB/s at 100 GiB, got 1200000.",
    ),
    (
        {"dataDiskType": "hyperdisk-throughput", "dataDiskGib": 100},
        "dataDiskGib: hyperdisk-throughput has 2048 to 32768 GiB, got 100.",
    ),
    ({"machineType": "n4a-custom-8-32769"}, 'machineType: no such n4a machine, got "n4a-custom-8-32769".'),
    (
        {"machineType": "c4a-highmem-96-metal", "bootDiskType": "hyperdisk-balanced-high-availability"},
        "bootDiskType: c4a-highmem-96-metal does not take this disk type",
    ),
]


@pytest.mark.parametrize(("host", "said"), REFUSED)
def test_a_disk_that_google_would_not_make_is_refused(tmp_path: Path, host: dict[str, Any], said: str) -> None:
    found = problems(tmp_path, host=host, axion__allowUnknown=True, axion__maxHourlyUsd=100)
    assert len(found) == 1, found
    line, _, rest = found[0].partition(" config.axion:hosts.main.")
    assert line.startswith(f"{AT}:")
    assert rest.startswith(said)


@pytest.mark.parametrize(
    "host",
    [
        {"dataDiskType": "hyperdisk-throughput", "dataDiskGib": 2048, "dataDiskThroughput": 180},
        {"dataDiskType": "hyperdisk-throughput", "dataDiskGib": 32768, "dataDiskThroughput": 2400},
        {"dataDiskType": "hyperdisk-ml", "dataDiskGib": 100, "dataDiskThroughput": 160_000},
        {"dataDiskType": "hyperdisk-ml", "dataDiskGib": 4, "dataDiskThroughput": 400},
        {"machineType": "n4a-standard-8", "dataDiskType": "hyperdisk-ml"},  # since 2026-04-14
        {"machineType": "c4a-highmem-96-metal", "dataDiskType": "hyperdisk-extreme"},
    ],
)
def test_a_disk_at_its_limits_is_taken(tmp_path: Path, host: dict[str, Any]) -> None:
    assert checked(tmp_path, host=host, axion__allowUnknown=True, axion__maxHourlyUsd=100).hosts["main"].data_disk
