"""What the two examples cost, as a preview prints it, against sums done by hand; and how long a preview takes."""

import re
from pathlib import Path

import pytest

from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack

# The bar is 5 s on two cores with nothing else to do; a busy machine must not fail the test.
PREVIEW_LIMIT_S = 30.0
# dev: 8 vCPU x 0.01387 + 32 GiB x 0.001578 = 0.161456 an hour on spot; disks 30 GiB x 0.08 = 2.40 and 60 x 0.08 = 4.80
#      a month, 7.20 / 730 = 0.009863 an hour.
# prod: 32 x 0.03086 + 128 x 0.00351 = 1.4368 an hour; disks 50 x 0.08 = 4.00, and 200 x 0.08 + (400 - 140) x 0.04
#      = 26.40 a month, 30.40 / 730 = 0.041644 an hour.
PRINTED = {
    "dev": {
        "hourlyUsd": "0.1713",
        "total": "125.06",
        "whileStopped": "7.2",
        "main: c4a-standard-8 spot": "117.86",
        "main: boot disk 30 GiB hyperdisk-balanced, 3000 IOPS, 140 MiB/s": "2.4",
        "main: data disk 60 GiB hyperdisk-balanced, 3000 IOPS, 140 MiB/s": "4.8",
    },
    "prod": {
        "hourlyUsd": "1.4784",
        "total": "1079.26",
        "whileStopped": "30.4",
        "main: c4a-standard-32 on demand": "1048.86",
        "main: boot disk 50 GiB hyperdisk-balanced, 3000 IOPS, 140 MiB/s": "4",
        "main: data disk 200 GiB hyperdisk-balanced, 3000 IOPS, 400 MiB/s": "26.4",
    },
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_preview_prints_the_price_that_the_tables_give_by_hand(
    name: str, tmp_path: Path, pulumi_cli: Path, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = PulumiStack.of_checkout(tmp_path, pulumi_cli, cloud, name=name)
    ran = stack.preview()
    found = dict(re.findall(r"^\s+([\w][^\n]*?)\s*: ([\d.]+)$", ran.stdout, re.MULTILINE))
    assert {key: found.get(key) for key in PRINTED[name]} == PRINTED[name], ran.stdout
    assert cloud.requests == []
    assert ran.took_s < PREVIEW_LIMIT_S
    with capsys.disabled():
        print(f"\npulumi preview of {name}: {ran.took_s:.1f} s (bar on two quiet cores: 5 s)")


def test_a_stack_above_its_limit_is_refused_with_the_sum(prod: PulumiStack) -> None:
    prod.config("maxHourlyUsd", 1.4)
    ran = prod.preview(check=False)
    assert ran.status != 0
    assert (
        "config.axion:maxHourlyUsd: the stack costs 1.4784 USD an hour (main: c4a-standard-32 on demand 1.4368, "
        "main: boot disk 50 GiB hyperdisk-balanced, 3000 IOPS, 140 MiB/s 0.0055, "
        "main: data disk 200 GiB hyperdisk-balanced, 3000 IOPS, 400 MiB/s 0.0362), got 1.4. "
        "Raise it, take a smaller machine, or set spot."
    ) in ran.said
    assert prod.cloud.requests == []


def test_a_preview_says_what_nobody_knows_and_goes_on_where_that_is_allowed(
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud
) -> None:
    prod = PulumiStack.of_checkout(tmp_path, pulumi_cli, cloud, name="prod")
    prod.config("gcp:zone", "asia-east2-a").config("gcp:region", "asia-east2")
    refused = prod.preview(check=False)
    assert refused.status != 0
    assert "not known to be offered in asia-east2 by the lists of 2026-08-17, got c4a-standard-32." in refused.said
    assert "set axion:allowUnknown: true" in refused.said
    ran = prod.config("allowUnknownPrices", "true").preview()
    for unknown in ("not known to be offered in asia-east2", "the catalog has no price in asia-east2"):
        assert unknown in ran.said
    assert "warning: " in ran.said
    assert "Google has the last word." in ran.said
