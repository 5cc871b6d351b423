"""Machines whose local disks nobody would use are refused, with what they cost."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.deployment.stack.test_guardrails import checked, problems


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (  # 1.80666 - 1.4368 USD an hour, 730 hours
            {"machineType": "c4a-standard-32-lssd"},
            "its 6 local disks (270 USD a month) would not be used, got c4a-standard-32-lssd. Take c4a-standard-32.",
        ),
        (
            {"machineType": "c4a-highmem-4-lssd"},
            "its local disk (45 USD a month) would not be used, got c4a-highmem-4-lssd. Take c4a-highmem-4.",
        ),
        (  # what they cost on spot is unknown
            {"machineType": "c4a-standard-8-lssd", "spot": True},
            "its 2 local disks would not be used, got c4a-standard-8-lssd. Take c4a-standard-8.",
        ),
    ],
)
def test_local_disks_that_nobody_would_use_are_refused(tmp_path: Path, host: dict[str, Any], said: str) -> None:
    (found,) = problems(tmp_path, host=host, axion__allowUnknownPrices=True)
    assert found.endswith(f"config.axion:hosts.main.machineType: {said}")
    checked(tmp_path, host={**host, "machineType": host["machineType"].removesuffix("-lssd")})
