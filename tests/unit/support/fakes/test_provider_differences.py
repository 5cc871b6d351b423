"""What the provider takes for a difference, what a preview cannot know, and how its process comes and goes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes.provider.differences import Comparison, same_scalar
from tests.support.fakes.provider.kinds import planned
from tests.support.fakes.provider.registry import KINDS
from tests.support.fakes.provider.values import UNKNOWN

DISK, INSTANCE = (f"gcp:compute/{one}" for one in ("disk:Disk", "instance:Instance"))
SUBNET = "gcp:compute/subnetwork:Subnetwork"
FIREWALL = "gcp:compute/firewall:Firewall"


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("https://www.googleapis.com/compute/v1/projects/p/global/networks/n", "projects/p/global/networks/n", True),
        ("n", "https://www.googleapis.com/compute/v1/projects/p/global/networks/n", True),
        ("etn", "https://www.googleapis.com/compute/v1/projects/p/global/networks/net", False),
        ("8", 8, True),
        (True, "true", True),
        (True, 1, False),
    ],
)
def test_two_spellings_of_one_value(one: object, other: object, are_same: bool) -> None:
    assert same_scalar(one, other) is are_same


def differences(token: str, news: dict[str, Any], state: dict[str, Any], before: dict[str, Any]) -> dict[str, str]:
    found = Comparison(KINDS[token], frozenset()).differences(news, state, before)
    return {one.path: one.kind for one in found}


def test_what_the_cloud_filled_in_is_no_difference() -> None:
    state = {"name": "d", "size": 50, "provisionedIops": 3000, "users": ["vm"]}
    assert differences(DISK, {"name": "d", "size": 50}, state, {"name": "d", "size": 50}) == {}


def test_what_was_taken_away_and_what_somebody_added_are_differences() -> None:
    card = {"subnetwork": "projects/p/regions/r/subnetworks/s"}
    opened = {**card, "accessConfigs": [{"natIp": "198.51.100.10"}]}
    same = {"networkInterfaces": [card]}
    assert differences(INSTANCE, same, {"networkInterfaces": [opened]}, same) == {
        "networkInterfaces[0].accessConfigs": "DELETE"
    }
    assert differences(INSTANCE, {}, {"tags": ["axion"]}, {"tags": ["axion"]}) == {"tags": "DELETE"}


def test_sets_have_no_order_and_unknown_values_differ() -> None:
    two = {"sourceRanges": ["10.0.0.0/8", "35.235.240.0/20"]}
    assert differences(FIREWALL, two, {"sourceRanges": two["sourceRanges"][::-1]}, two) == {}
    assert differences(FIREWALL, {"network": UNKNOWN}, {"network": "n"}, {"network": "n"}) == {"network": "UPDATE"}


@pytest.mark.parametrize(
    ("wanted", "image", "are_same"),
    [
        ("ubuntu-os-cloud/ubuntu-2404-lts-arm64", "ubuntu-2404-noble-arm64-v20261101", True),
        ("ubuntu-os-cloud/ubuntu-2404-lts-arm64", "ubuntu-2604-resolute-arm64-v20261101", False),
        ("ubuntu-os-cloud/ubuntu-2404-lts-arm64", "ubuntu-2404-noble-amd64-v20261101", False),
        ("debian-cloud/debian-12-arm64", "debian-12-bookworm-arm64-v20261101", True),
        ("ubuntu-os-cloud/ubuntu-2404-noble-arm64-v20261001", "ubuntu-2404-noble-arm64-v20261101", False),
    ],
)
def test_a_family_is_the_same_as_its_image(wanted: str, image: str, are_same: bool) -> None:
    link = f"https://www.googleapis.com/compute/v1/projects/ubuntu-os-cloud/global/images/{image}"
    assert KINDS[DISK].same("image", wanted, link) is are_same


@pytest.mark.parametrize(
    ("token", "path", "new", "old", "replaces"),
    [
        (DISK, "size", 60, 50, False),
        (DISK, "size", 50, 60, True),
        (SUBNET, "ipCidrRange", "10.20.0.0/23", "10.20.0.0/24", False),
        (SUBNET, "ipCidrRange", "10.20.0.0/25", "10.20.0.0/24", True),
        (SUBNET, "ipCidrRange", "10.30.0.0/24", "10.20.0.0/24", True),
    ],
)
def test_what_only_grows_is_made_anew_to_shrink(
    token: str, path: str, new: object, old: object, replaces: bool
) -> None:
    (found,) = Comparison(KINDS[token], frozenset()).differences({path: new}, {path: old}, {path: old})
    assert found.replaces is replaces


def test_a_preview_does_not_know_what_the_cloud_will_fill_in() -> None:
    inside = KINDS[INSTANCE].filled_in
    made = planned({"networkInterfaces": [{"subnetwork": "s"}]}, {}, inside)
    assert made["networkInterfaces"][0]["networkIp"] == UNKNOWN
    kept = planned({"networkInterfaces": [{}]}, {"networkInterfaces": [{"networkIp": "10.0.0.2"}]}, inside)
    assert kept["networkInterfaces"][0]["networkIp"] == "10.0.0.2"


def test_the_plugin_starts_without_the_sdk_prints_its_port_and_ends_with_its_parent() -> None:
    code = "import sys, tests.support.fakes.provider.service; print({'pulumi.output', 'pulumi_gcp'} & set(sys.modules))"
    root = Path(__file__).parents[4]
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False, timeout=60
    )
    assert (shown.stdout.strip(), shown.returncode) == ("set()", 0), shown.stderr
    plugin = root / "tests" / "support" / "fakes" / "provider" / "pulumi-resource-gcp"
    # The subshell is the plugin's parent: it tells the plugin's id, waits, and is killed once the port was read.
    started = f"exec 3< <({plugin} 127.0.0.1:1 & echo $!; wait)"
    script = f"{started}; read -r pid <&3; read -r port <&3; echo $pid $port; kill -9 $!"
    environment = {**os.environ, "AXION_PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    pid, port = (int(word) for word in done.stdout.split())
    assert 1024 <= port < 65536
    for _ in range(50):
        if not Path(f"/proc/{pid}").exists():
            return
        subprocess.run(["sleep", "0.1"], check=True)
    raise AssertionError(f"the plugin {pid} outlived its parent")
