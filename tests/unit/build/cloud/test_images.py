"""What the doctor says of images that a stack names itself."""

from pathlib import Path

import pytest

from build.cloud.gcloud import Gcloud
from build.cloud.images import ImageName, image_checks
from build.remote.executor import LocalExecutor
from deployment.stack.settings import StackSettings
from tests.support.replayed_gcloud import ReplayedGcloud, refuses, says

MINE = "projects/mine/global/images/axion-v3"
GOOD = {"name": "axion-v3", "architecture": "ARM64", "status": "READY", "guestOsFeatures": [{"type": "GVNIC"}]}
STOPS = "`pulumi up` would stop there, and leave the host as it is. Correct the host's image"
USELESS = "`pulumi up` would bring a host up that cannot serve. Correct the host's image"
DEBIAN_11 = "https://www.googleapis.com/compute/v1/projects/debian-cloud/global/licenses/debian-11-bullseye"
DOWN = "`pulumi up` would take the host down and not bring it back. Correct the host's image"


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReplayedGcloud:
    return ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)


def checked(*images: str | None) -> list[tuple[str, str, str]]:
    hosts = {f"h{number}": {"machineType": "c4a-standard-8", "image": image} for number, image in enumerate(images)}
    config = {"gcp:project": "my-project", "gcp:zone": "us-central1-a", "gcp:region": "us-central1"}
    settings = StackSettings.model_validate({**config, "axion:maxHourlyUsd": 2, "axion:hosts": hosts})
    found = image_checks(settings, Gcloud(LocalExecutor(), "my-project"))
    return [(check.name, check.verdict, check.finding) for check in found]


@pytest.mark.parametrize(
    ("reference", "project", "name", "kinds"),
    [
        (MINE, "mine", "axion-v3", ("describe",)),
        (f"https://www.googleapis.com/compute/v1/{MINE}", "mine", "axion-v3", ("describe",)),
        ("projects/mine/global/images/family/axion", "mine", "axion", ("describe-from-family",)),
        ("mine/axion", "mine", "axion", ("describe", "describe-from-family")),
        ("axion", "own", "axion", ("describe", "describe-from-family")),
    ],
)
def test_every_way_to_write_an_image(reference: str, project: str, name: str, kinds: tuple[str, ...]) -> None:
    assert ImageName.parse(reference, "own") == ImageName(project=project, name=name, kinds=kinds)


def test_an_image_that_is_there_passes_and_is_asked_for_once(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(says("images describe axion-v3 --project=mine", GOOD))
    assert checked(MINE, None, MINE) == [("image axion-v3", "pass", f"{MINE} is there, for ARM64")]
    assert len(gcloud.calls) == 1


@pytest.mark.parametrize(
    ("image", "wrong", "cost"),
    [
        (None, "not there", STOPS),
        ({**GOOD, "architecture": "X86_64"}, "built for X86_64, and Axion needs ARM64", STOPS),
        ({"name": "axion-v3"}, "built for an unknown processor, and Axion needs ARM64", DOWN),
        ({**GOOD, "status": "PENDING"}, "not ready: PENDING", STOPS),
        (
            {**GOOD, "licenses": ["projects/mine/global/licenses/ours", DEBIAN_11]},
            "made of debian-11-bullseye, and engines run on Ubuntu 24.04, or Debian 12 or newer",
            USELESS,
        ),
        (
            {**GOOD, "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}]},
            "without the guest OS feature GVNIC, the only network card that Axion has",
            DOWN,
        ),
    ],
)
def test_an_image_that_would_not_do_fails_and_what_it_would_cost_is_said(
    gcloud: ReplayedGcloud, image: dict[str, object] | None, wrong: str, cost: str
) -> None:
    missing = refuses("images describe", "ERROR: The resource 'axion-v3' was not found")
    gcloud.answers(missing if image is None else says("images describe", image))
    assert checked(MINE) == [("image axion-v3", "fail", f"{wrong}; {cost}")]


def test_without_an_image_of_its_own_a_stack_is_asked_nothing(gcloud: ReplayedGcloud) -> None:
    assert (checked(None), gcloud.calls) == ([], [])
