"""How a stack ends, with the real CLI: protection, destroy, a census by real gcloud, and what a wrong image costs."""

import json

import pytest

from build.cloud.gcloud import Gcloud
from build.cloud.images import image_checks
from build.remote.executor import LocalExecutor
from deployment.stack.file import read_file
from tests.support.gcloud_on_cloud import fab, gcloud_environment, need_gcloud
from tests.support.pulumi_stack import PulumiStack
from tests.support.standing_stack import StandingStack, changes, host_settings

ZONE = "projects/axion-test/zones/us-central1-a"
VM, DISK = f"{ZONE}/instances/axion-prod-main", f"{ZONE}/disks/axion-prod-data-main"
PROTECTED = "because it is protected"


def test_a_protected_stack_is_not_destroyed_and_its_data_outlives_those_who_insist(prod: PulumiStack) -> None:
    ran = prod.run("destroy", "--yes", "--stack", prod.name, check=False)
    assert ran.status != 0
    assert [PROTECTED in ran.said, "models-data-main" in ran.said, "models-bucket" in ran.said] == [True] * 3
    assert changes(prod.cloud) == []
    # Without the preview Pulumi takes what it may. What cannot be had again is still there.
    assert prod.destroy(check=False).status != 0
    assert DISK in prod.cloud.state.resources
    assert "b/axion-prod-axion-test" in prod.cloud.state.resources
    assert VM not in prod.cloud.state.resources


def test_after_a_destroy_nothing_is_left_and_a_leftover_is_told_with_its_cost(standing_prod: StandingStack) -> None:
    need_gcloud()
    prod = standing_prod.put_back()
    cloud = prod.cloud
    leftover = json.loads(json.dumps(cloud.state.resources[DISK]))
    prod.config("deleteData", ["axion-prod-data-main", "axion-prod-axion-test"]).up()
    assert "- 25 deleted" in prod.run("destroy", "--yes", "--stack", prod.name).stdout
    # Google keeps a deleted role for a week; it costs nothing and can be had back.
    (role,) = cloud.state.resources
    assert role.startswith("projects/axion-test/roles/axion_prod_stop_main_")
    assert [one["bindings"] for one in cloud.state.policies.values()] == [[]]

    environment = {**prod.environment, **gcloud_environment(cloud, standing_prod.base)}
    census = ("census", "--stack", "prod", "--expect-empty")
    empty = fab(*census, project=prod.folder, environment=environment)
    assert (empty.returncode, empty.stdout.strip()) == (0, "prod: nothing left in axion-test."), empty.stderr
    cloud.state.resources[DISK] = {**leftover, "users": []}
    left = fab(*census, project=prod.folder, environment=environment)
    assert left.returncode == 1
    # 200 GiB x 0.08 + (400 - 140) MiB/s x 0.04
    assert [word in left.stdout for word in ("axion-prod-data-main", "26.40")] == [True, True], left.stdout
    command = "gcloud compute disks delete axion-prod-data-main --zone=us-central1-a --project=axion-test --quiet"
    assert command in left.stdout


GOOD_IMAGE = "projects/ubuntu-os-cloud/global/images/ubuntu-2404-noble-arm64-v20261101"
FOREIGN = "Requested architecture must be the same as the source resource architecture (X86_64)"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("projects/axion-test/global/images/mine-v3", "images/mine-v3' was not found"),
        ("projects/axion-test/global/images/mine-v20261101", FOREIGN),
    ],
)
def test_a_wrong_image_costs_nothing_for_the_old_host_runs_on(
    standing_prod: StandingStack, image: str, said: str
) -> None:
    """Names are fixed, so a new instance can only come after the old one; but its boot disk comes before that."""
    prod = standing_prod.put_back()
    before = {path: prod.cloud.state.resources[path]["id"] for path in (VM, DISK)}
    host_settings(prod, image=image)
    assert said in prod.up(check=False).said
    assert [each for each in changes(prod.cloud) if not each.startswith("disks.insert axion-prod-boot-main")] == []
    assert {path: prod.cloud.state.resources[path]["id"] for path in (VM, DISK)} == before
    assert prod.cloud.state.resources[VM]["status"] == "RUNNING"
    host_settings(prod, image=None)
    assert prod.plan() == {}


def test_a_right_image_gets_its_disk_first_then_the_host_is_replaced_and_the_old_disk_goes(prod: PulumiStack) -> None:
    host_settings(prod, image=GOOD_IMAGE)
    prod.up()
    new = next(path for path in prod.cloud.state.resources if "/disks/axion-prod-boot-main-" in path).rpartition("/")[2]
    assert changes(prod.cloud) == [
        f"disks.insert {new}",
        "instances.setIamPolicy axion-prod-main",
        "instances.delete axion-prod-main",
        "instances.insert axion-prod-main",
        "instances.setIamPolicy axion-prod-main",
        "disks.delete axion-prod-boot-main",
    ]


def test_the_doctor_finds_a_wrong_image_before_any_up(
    standing_prod: StandingStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_gcloud()
    prod = standing_prod.put_back()
    host_settings(prod, image="projects/axion-test/global/images/mine-v3")
    for name, value in gcloud_environment(prod.cloud, standing_prod.base).items():
        monkeypatch.setenv(name, value)
    settings = read_file("prod", prod.folder).settings
    assert settings is not None
    (found,) = image_checks(settings, Gcloud(LocalExecutor(), settings.project))
    assert (found.name, found.verdict) == ("image mine-v3", "fail")
    assert found.finding.startswith("not there; ")
