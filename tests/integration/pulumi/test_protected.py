"""What Pulumi refuses for data's sake, explained, and the explanation followed: the real CLI."""

from deployment.refusals.diagnostics import explained
from tests.support.pulumi_stack import PulumiStack
from tests.support.standing_stack import changes, host_settings

ZONE = "projects/axion-test/zones/us-central1-a"
DISK, VM, BUCKET = f"{ZONE}/disks/axion-prod-data-main", f"{ZONE}/instances/axion-prod-main", "b/axion-prod-axion-test"


def test_another_zone_is_refused_and_the_way_that_keeps_the_data_is_named(prod: PulumiStack) -> None:
    prod.config("gcp:zone", "us-central1-b")
    refused = prod.preview(check=False)
    assert (refused.status != 0, changes(prod.cloud)) == (True, [])
    (line,) = explained(refused.said)
    assert "This change would delete the data disk axion-prod-data-main and all that is on it." in line
    assert "`fab move --stack prod --host main --zone ZONE`" in line
    assert line.endswith("Do not run `pulumi state unprotect`: the next change would delete it.")


def test_a_destroy_follows_the_explanation_and_loses_just_what_was_named(prod: PulumiStack) -> None:
    there = prod.cloud.state.resources
    refused = prod.run("destroy", "--yes", "--stack", "prod", check=False)
    assert (refused.status != 0, changes(prod.cloud)) == (True, [])
    bucket, disk = sorted(explained(refused.said))
    assert "The bucket axion-prod-PROJECT stays" in bucket
    assert "The data disk axion-prod-data-main stays" in disk
    everything_else = ("destroy", "--yes", "--stack", "prod", "--exclude-protected")
    assert "`pulumi destroy --stack prod --exclude-protected`" in disk
    prod.run(*everything_else)
    assert [path in there for path in (DISK, BUCKET, VM)] == [True, True, False]

    assert "`pulumi up --stack prod --target '**::models-data-main'`" in disk
    prod.config("deleteData", ["axion-prod-data-main"])
    prod.up("--target", "**::models-data-main")
    assert [path in there for path in (DISK, BUCKET, VM)] == [True, True, False]
    prod.run(*everything_else)
    assert [path in there for path in (DISK, BUCKET, VM)] == [False, True, False]


def test_a_disk_that_was_named_is_replaced_and_so_is_its_host_which_would_run_on_without(prod: PulumiStack) -> None:
    """The new disk has the old one's link: without the disk's number no change of the instance would be seen."""
    prod.config("deleteData", ["axion-prod-data-main"]).up()
    prod.cloud.requests.clear()
    host_settings(prod, dataDiskGib=100)
    prod.up()
    done = [each for each in changes(prod.cloud) if each.startswith(("instances.", "disks.")) and "olic" not in each]
    assert done == [
        "instances.detachDisk axion-prod-main",
        "disks.delete axion-prod-data-main",
        "disks.insert axion-prod-data-main",
        "instances.delete axion-prod-main",
        "instances.insert axion-prod-main",
    ]
    attached = prod.cloud.state.resources[VM]["disks"]
    assert [disk["deviceName"] for disk in attached] == ["axion-boot", "axion-data"]
    assert prod.plan() == {}
