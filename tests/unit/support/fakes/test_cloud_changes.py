"""Changes and deletions that Google refuses: things in use or protected, running machines, stale reads; and boots."""

from typing import Any

import pytest

from tests.support.cloud_calls import (
    ARM_IMAGE,
    BALANCED,
    COMPUTE,
    REGION,
    X86_IMAGE,
    ZONE,
    booted,
    disk,
    done,
    get,
    instance,
    network,
    post,
    refusal,
)
from tests.support.fakes.cloud.server import Cloud

VM, DATA = f"{ZONE}/instances/vm", f"{ZONE}/disks/data"


def test_what_is_in_use_stays(cloud: Cloud) -> None:
    booted(cloud)
    base = "projects/axion-test"
    for target, user in (
        (DATA, f"{base}/zones/us-central1-a/instances/vm"),
        (f"{REGION}/subnetworks/sub", f"{base}/zones/us-central1-a/instances/vm"),
        (f"{COMPUTE}/global/networks/net", f"{base}/regions/us-central1/subnetworks/sub"),
    ):
        code, reason, message = refusal(cloud.answer("DELETE", target, {}))
        assert (code, reason) == (400, "resourceInUseByAnotherResource")
        assert message.endswith(f"is already being used by '{user}'")


def test_an_instance_takes_its_boot_disk_along_and_leaves_the_data(cloud: Cloud) -> None:
    booted(cloud)
    done(cloud, "DELETE", VM)
    disks = [path for path in cloud.state.resources if "/disks/" in path]
    assert disks == ["projects/axion-test/zones/us-central1-a/disks/data"]
    assert get(cloud, DATA)["users"] == []


def test_a_protected_instance_stays(cloud: Cloud) -> None:
    booted(cloud, deletionProtection=True)
    assert "protected against deletion" in refusal(cloud.answer("DELETE", VM, {}))[2]
    done(cloud, "POST", f"{VM}/setDeletionProtection?deletionProtection=false")
    done(cloud, "DELETE", VM)


def test_a_second_of_the_same_name_conflicts(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk())
    message = "The resource 'projects/axion-test/zones/us-central1-a/disks/data' already exists"
    assert refusal(post(cloud, f"{ZONE}/disks", disk())) == (409, "alreadyExists", message)


def test_the_machine_type_changes_only_while_stopped(cloud: Cloud) -> None:
    booted(cloud)
    wanted = {"machineType": "zones/us-central1-a/machineTypes/c4a-standard-16"}
    assert refusal(post(cloud, f"{VM}/setMachineType", wanted))[1] == "instanceNotStopped"
    done(cloud, "POST", f"{VM}/stop")
    x86 = {"machineType": "zones/us-central1-a/machineTypes/n2-standard-4"}
    assert "architecture (ARM64) is not compatible" in refusal(post(cloud, f"{VM}/setMachineType", x86))[2]
    done(cloud, "POST", f"{VM}/setMachineType", wanted)
    assert get(cloud, VM)["machineType"].endswith("/c4a-standard-16")


def test_a_disk_grows_and_never_shrinks(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk())
    done(cloud, "POST", f"{DATA}/resize", {"sizeGb": "80"})
    assert get(cloud, DATA)["sizeGb"] == "80"
    message = "Invalid value for field 'sizeGb': '60'. New disk size '60' GB must be larger than existing size '80' GB."
    assert refusal(post(cloud, f"{DATA}/resize", {"sizeGb": "60"}))[2] == message


@pytest.mark.parametrize(
    ("call", "field", "body"),
    [
        ("setLabels", "labelFingerprint", {"labels": {"a": "b"}}),
        ("setMetadata", "fingerprint", {"items": [{"key": "a", "value": "b"}]}),
        ("setTags", "fingerprint", {"items": ["a"]}),
    ],
)
def test_a_stale_fingerprint_is_refused(cloud: Cloud, call: str, field: str, body: dict[str, Any]) -> None:
    booted(cloud)
    part = {
        "setLabels": lambda one: one,
        "setMetadata": lambda one: one["metadata"],
        "setTags": lambda one: one["tags"],
    }
    fresh = part[call](get(cloud, VM))[field]
    done(cloud, "POST", f"{VM}/{call}", {**body, field: fresh})
    assert refusal(post(cloud, f"{VM}/{call}", {**body, field: fresh}))[:2] == (412, "conditionNotMet")


def test_host_keys_are_published_at_every_boot_where_the_instance_allows_it(cloud: Cloud) -> None:
    booted(cloud)
    path = f"{VM}/getGuestAttributes?queryPath=hostkeys/"
    assert refusal(cloud.answer("GET", path, {}))[0] == 404
    allowed = {"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]}
    done(cloud, "POST", f"{ZONE}/instances", instance("other", metadata=allowed))
    items = get(cloud, f"{ZONE}/instances/other/getGuestAttributes?queryPath=hostkeys/")["queryValue"]["items"]
    assert [(one["namespace"], one["key"], one["value"][:20]) for one in items] == [
        ("hostkeys", "ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5")
    ]


def test_an_old_policy_cannot_be_written_over_a_newer_one(cloud: Cloud) -> None:
    where = "/v1/projects/axion-test"
    old = done(cloud, "POST", f"{where}:getIamPolicy")
    binding = {"role": "roles/logging.logWriter", "members": ["user:one@example.com"]}
    done(cloud, "POST", f"{where}:setIamPolicy", {"policy": {**old, "bindings": [binding]}})
    stale = post(cloud, f"{where}:setIamPolicy", {"policy": {**old, "bindings": []}})
    assert refusal(stale)[:2] == (409, "aborted")


def test_a_policy_cannot_name_an_account_that_does_not_exist(cloud: Cloud) -> None:
    email = "ghost@axion-test.iam.gserviceaccount.com"
    binding = {"role": "roles/logging.logWriter", "members": [f"serviceAccount:{email}"]}
    answer = post(cloud, "/v1/projects/axion-test:setIamPolicy", {"policy": {"bindings": [binding]}})
    assert refusal(answer)[2] == f"Service account {email} does not exist."


def test_the_state_shows_how_long_a_secret_is_and_nothing_of_it(cloud: Cloud) -> None:
    secrets = "/v1/projects/axion-test/secrets"
    done(cloud, "POST", f"{secrets}?secretId=keys", {"replication": {"automatic": {}}})
    version = done(cloud, "POST", f"{secrets}/keys:addVersion", {"payload": {"data": "cGxhbnRlZA=="}})
    assert version["name"] == "projects/123456789012/secrets/keys/versions/1"
    assert "cGxhbnRlZA==" not in str(cloud.state.snapshot())
    assert get(cloud, f"{secrets}/keys/versions/latest:access")["payload"] == {"data": "cGxhbnRlZA=="}


def test_a_boot_disk_needs_room_for_its_image(cloud: Cloud) -> None:
    network(cloud)
    small = {"sourceImage": ARM_IMAGE, "diskType": BALANCED, "diskSizeGb": "8"}
    answer = post(cloud, f"{ZONE}/instances", instance(disks=[{"boot": True, "initializeParams": small}]))
    assert "cannot be smaller than the image size (10 GB)" in refusal(answer)[2]


def test_a_disk_is_refused_when_its_image_is_for_another_processor_than_was_asked_for(cloud: Cloud) -> None:
    """Google's words: hashicorp/packer-plugin-googlecompute #232."""
    wanted = disk(sourceImage=X86_IMAGE, architecture="ARM64")
    assert refusal(post(cloud, f"{ZONE}/disks", wanted))[2] == (
        "Invalid value for field 'resource.architecture': 'ARM64'. "
        "Requested architecture must be the same as the source resource architecture (X86_64)."
    )
    done(cloud, "POST", f"{ZONE}/disks", {**wanted, "sourceImage": ARM_IMAGE})


def test_a_policy_may_be_written_with_its_etag_in_the_alphabet_of_urls_as_gcloud_does(cloud: Cloud) -> None:
    where = "/v1/projects/axion-test"
    for number in range(100):
        binding = {"role": "roles/logging.logWriter", "members": [f"user:{number}@example.com"]}
        policy = done(cloud, "POST", f"{where}:setIamPolicy", {"policy": {"bindings": [binding]}})
        if "+" in policy["etag"] and "/" in policy["etag"]:
            break
    policy["etag"] = policy["etag"].replace("+", "-").replace("/", "_")
    done(cloud, "POST", f"{where}:setIamPolicy", {"policy": policy})


def test_a_change_that_is_refused_changes_nothing(cloud: Cloud) -> None:
    body = {"type": "email", "displayName": "me", "labels": {"email_address": "me@example.com"}}
    channel = done(cloud, "POST", "/v3/projects/axion-test/notificationChannels", body)
    where = f"/v3/{channel['name']}"
    answered = cloud.answer("PATCH", f"{where}?updateMask=labels", {"labels": {}})
    assert refusal(answered)[2] == "Field labels had an invalid value: 'email_address' is required."
    assert get(cloud, where)["labels"] == {"email_address": "me@example.com"}
