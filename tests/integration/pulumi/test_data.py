"""No sequence of changes, stock-outs, kills and followed advice loses what is on a data disk: the real CLI and gcloud.

A few lives each time; `python -m tests.support.data_sequences --lives 50` lives more of them, and prints what they did.
"""

from pathlib import Path

import pytest

from tests.support.data_sequences import live
from tests.support.gcloud_on_cloud import need_gcloud

STEPS = 7


@pytest.mark.parametrize("seed", [3, 5, 11])
def test_a_marker_on_the_data_disk_outlives_whatever_happens_to_its_stack(
    tmp_path: Path, pulumi_cli: Path, seed: int
) -> None:
    need_gcloud()
    assert len(live(seed, STEPS, pulumi_cli, tmp_path / "x")) == STEPS
