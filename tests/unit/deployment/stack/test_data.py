"""What the stack's file may say of data, zones and falling back: refused, or let pass with a word."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.deployment.stack.test_guardrails import checked, problems

SPOT = {"spot": True, "onDemandFallback": True}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("axion-other-data-main", "axion:deleteData[0]: names no data of this stack"),
        ("axion-test-boot-main", "axion:deleteData[0]: names no data of this stack"),
        ("main", "axion:deleteData[0]: names no data of this stack"),
    ],
)
def test_only_data_of_the_stack_can_be_named(tmp_path: Path, name: str, problem: str) -> None:
    (found,) = problems(tmp_path, axion__deleteData=[name])
    assert problem in found
    assert "Use axion-test-data-main." in found


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["axion-test-data-main"], "may be deleted with all that is on it"),
        # A host, or a bucket, that was taken out of the file may still be there.
        (["axion-test-data-gone"], "axion-test-data-gone is of no host in this file"),
        (["axion-test-a-project"], "axion-test-a-project is of no host in this file"),
    ],
)
def test_what_is_named_is_told_at_each_preview(tmp_path: Path, names: list[str], word: str) -> None:
    (notice,) = checked(tmp_path, axion__deleteData=names).notices
    assert word in notice


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ({"zones": ["us-central1-a", "us-east4-a"]}, "zones[1]: outside us-central1"),
        ({"zones": ["us-central1-a", "us-central1-a"]}, "zones: a zone twice"),
        ({"zones": ["us-central1-a"], "zone": "us-central1-b"}, "zone: not one of zones"),
    ],
)
def test_zones_are_of_one_region_and_hold_the_hosts_own(tmp_path: Path, host: dict[str, Any], problem: str) -> None:
    (found,) = problems(tmp_path, host=host)
    assert problem in found


def test_what_a_host_may_fall_back_to_has_to_be_paid_for_and_is_checked_before_it_is_tried(tmp_path: Path) -> None:
    # 8 x 0.03086 + 32 x 0.00351 = 0.3592, and 250 GiB at 0.08 a month.
    (found,) = problems(tmp_path, host=SPOT, axion__maxHourlyUsd=0.25)
    assert "axion:maxHourlyUsd: on demand, which onDemandFallback allows, the stack costs 0.3866 USD an hour" in found
    assert checked(tmp_path, host={"spot": True}, axion__maxHourlyUsd=0.25).notices == ()
    assert checked(tmp_path, host=SPOT, axion__maxHourlyUsd=0.4).notices == ()


def test_a_notice_for_spot_stands_while_the_host_has_fallen_back(tmp_path: Path) -> None:
    fallen = {**SPOT, "spot": False, "preemptionNoticeSeconds": 60}
    assert checked(tmp_path, host=fallen).notices == ()
    (found,) = problems(tmp_path, host={"spot": False, "preemptionNoticeSeconds": 60})
    assert "preemptionNoticeSeconds: only spot hosts are taken back" in found
