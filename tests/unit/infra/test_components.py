"""What the program asks Pulumi for, by example: the two stacks that come along, and one that uses everything."""

import json
from pathlib import Path

import pytest

from tests.support.example_stacks import HOST, KEYS, TOKEN, recorded
from tests.support.pulumi_program import REPOSITORY, Recording, config_of, run_program

LABELABLE = ("Instance", "Disk", "Secret", "Bucket", "Address")


@pytest.fixture
def prod() -> Recording:
    return recorded("prod")


@pytest.fixture
def dev() -> Recording:
    return recorded("dev")


@pytest.fixture
def full() -> Recording:
    return recorded("full")


@pytest.fixture(params=["prod", "dev", "full"])
def recording(request: pytest.FixtureRequest) -> Recording:
    return recorded(request.param)


def test_the_program_ends_well_and_asks_the_cloud_nothing(recording: Recording) -> None:
    assert recording.exit_code == 0
    # Only the stack that uses everything has what is allowed and deserves a word.
    word = "config.axion:labels.managed-by: ours wins over it, got a label that the census looks for. Delete it."
    assert recording.errors in ("", f"Pulumi.full.yaml {word}\n"), recording.errors
    assert len(recording.resources) > 20


def test_every_resource_belongs_to_a_component_of_ours(recording: Recording) -> None:
    components = {each.name for each in recording.resources if each.type.startswith("axion:infra:")}
    assert {each.parent for each in recording.resources if each.type.startswith("gcp:")} <= components
    assert {each.type.partition(":")[0] for each in recording.resources} == {"axion", "gcp"}


def test_everything_that_takes_labels_has_ours_and_nobody_overwrites_them(recording: Recording) -> None:
    for kind in LABELABLE:
        for each in recording.of_type(kind):
            labels = each.inputs["labels"]
            assert labels["axion-stack"] in ("prod", "dev", "full")
            assert labels["axion-component"]
            assert labels["managed-by"] == "pulumi", each.name


def test_labels_of_the_configuration_are_added(full: Recording) -> None:
    assert {each.inputs["labels"]["team"] for kind in LABELABLE for each in full.of_type(kind)} == {"serving"}
    assert full.of_type("AlertPolicy")[0].inputs["userLabels"]["axion-stack"] == "full"


def test_names_say_the_stack_and_hold_nothing_random(prod: Recording) -> None:
    names = [each.inputs["name"] for each in prod.resources if "name" in each.inputs]
    assert sorted(set(names)) == [
        "axion-prod-allow-iap-ssh", "axion-prod-boot-main", "axion-prod-data-main", "axion-prod-example-axion-prod",
        "axion-prod-main", "axion-prod-nat", "axion-prod-router", "axion-prod-snapshots", "axion-prod-subnet",
        "axion-prod-vpc",
    ]  # fmt: skip
    again = run_program(config_of("prod"))
    assert again.outputs == prod.outputs
    assert sorted(map(repr, again.resources)) == sorted(map(repr, prod.resources))


def test_what_has_a_fixed_name_goes_before_its_successor_comes(recording: Recording) -> None:
    later = [
        each.name for each in recording.resources if each.type.startswith("gcp:") and not each.delete_before_replace
    ]
    assert all(name.endswith("-version") for name in later)


def test_a_host_is_private_shielded_and_known_by_its_keys(recording: Recording) -> None:
    for instance in recording.of_type("Instance"):
        (interface,) = instance.inputs["networkInterfaces"]
        assert interface["nicType"] == "GVNIC"
        assert "accessConfigs" not in interface
        assert "network" not in interface
        assert instance.inputs["shieldedInstanceConfig"] == {
            "enableSecureBoot": True, "enableVtpm": True, "enableIntegrityMonitoring": True,
        }  # fmt: skip
        metadata = instance.inputs["metadata"]
        assert metadata["enable-oslogin"] == "TRUE"
        assert metadata["enable-guest-attributes"] == "TRUE"
        assert metadata["block-project-ssh-keys"] == "TRUE"
        assert metadata["serial-port-enable"] == "FALSE"
        assert instance.inputs["allowStoppingForUpdate"] is True
        assert 'metadata["ssh-keys"]' in instance.ignore_changes
        assert "network-nat" in instance.dependencies


def test_metadata_holds_no_model_and_no_secret(recording: Recording) -> None:
    for instance in recording.of_type("Instance"):
        text = json.dumps(instance.inputs["metadata"])
        assert not [word for word in ("phi4", "qwen", "gemma3", "mistral", KEYS, TOKEN) if word in text]


def test_a_spot_host_follows_its_scheduling_rules(dev: Recording) -> None:
    scheduling = dev.one("Instance").inputs["scheduling"]
    assert scheduling == {
        "provisioningModel": "SPOT", "preemptible": True, "automaticRestart": False,
        "onHostMaintenance": "TERMINATE", "instanceTerminationAction": "STOP", "maxRunDuration": {"seconds": 86400},
    }  # fmt: skip
    assert dev.one("Instance").inputs["metadata"]["axion-idle-stop-minutes"] == "30"


def test_an_ordinary_host_is_migrated_and_restarted(prod: Recording) -> None:
    scheduling = prod.one("Instance").inputs["scheduling"]
    assert scheduling == {
        "provisioningModel": "STANDARD", "preemptible": False, "automaticRestart": True, "onHostMaintenance": "MIGRATE",
    }  # fmt: skip
    assert "axion-idle-stop-minutes" not in prod.one("Instance").inputs["metadata"]


def test_the_data_disk_is_protected_and_attached_from_outside(prod: Recording, dev: Recording) -> None:
    disk, of_dev = (each.named("models-data-main") for each in (prod, dev))
    assert (disk.protect, disk.retain_on_delete, of_dev.protect) == (True, False, True)
    assert disk.inputs["type"] == "hyperdisk-balanced"
    assert (disk.inputs["size"], disk.inputs["provisionedIops"], disk.inputs["provisionedThroughput"]) == (
        200,
        3000,
        400,
    )
    assert prod.one("Instance").inputs["attachedDisks"] == [
        {"source": "https://cloud/axion-prod-data-main", "deviceName": "axion-data"}
    ]
    assert prod.one("DiskResourcePolicyAttachment").inputs["disk"] == "axion-prod-data-main"


def test_a_family_may_move_on_but_an_exact_image_is_an_instruction(prod: Recording, full: Recording) -> None:
    family = prod.named("host-main-boot")
    assert (family.ignore_changes, family.inputs["name"]) == (["architecture", "image"], "axion-prod-boot-main")
    # The first eight digits of sha256 of the image's name, by `printf %s NAME | sha256sum`.
    exact = full.named("host-alpha-boot-cf812eeb")
    assert (exact.ignore_changes, exact.inputs["name"]) == (["architecture"], "axion-full-boot-alpha-cf812eeb")


def test_the_boot_disk_is_made_first_for_arm_and_stays_when_the_instance_goes(prod: Recording) -> None:
    boot, instance = prod.named("host-main-boot"), prod.one("Instance")
    assert instance.inputs["bootDisk"] == {
        "source": "https://cloud/axion-prod-boot-main", "autoDelete": False, "deviceName": "axion-boot",
    }  # fmt: skip
    assert "host-main-boot" in instance.dependencies
    assert (boot.inputs["architecture"], boot.inputs["size"], boot.protect) == ("ARM64", 50, False)


def test_the_firewall_lets_in_iap_and_nobody_else(prod: Recording) -> None:
    firewall = prod.one("Firewall").inputs
    assert firewall["sourceRanges"] == ["35.235.240.0/20"]
    assert firewall["allows"] == [{"protocol": "tcp", "ports": ["22"]}]
    assert firewall["targetTags"] == ["axion-prod-host"]
    assert "axion-prod-host" in prod.one("Instance").inputs["tags"]


def test_the_subnet_reaches_google_without_nat_and_the_rest_through_it(prod: Recording, dev: Recording) -> None:
    assert prod.one("Network").inputs["autoCreateSubnetworks"] is False
    assert prod.one("Subnetwork").inputs["privateIpGoogleAccess"] is True
    assert "logConfig" in prod.one("Subnetwork").inputs
    assert "logConfig" not in dev.one("Subnetwork").inputs
    assert prod.one("RouterNat").inputs["natIpAllocateOption"] == "AUTO_ONLY"


def test_an_open_gateway_and_an_external_address_have_their_lists_and_ports(tmp_path: Path) -> None:
    listening = tmp_path / "models.yaml"
    text = (REPOSITORY / "models.yaml").read_text()
    listening.write_text(text.replace("127.0.0.1:8082", "0.0.0.0:8443"))
    (tmp_path / "models.lock.json").write_text((REPOSITORY / "models.lock.json").read_text())
    changed = {
        **config_of("prod"),
        "axion:network": {"gatewayCidrs": ["10.9.0.0/16"]},
        "axion:gatewayApiKeys": KEYS,
        "axion:hosts": {"main": {**HOST, "models": str(listening), "publicIp": {"allowCidrs": ["203.0.113.0/28"]}}},
    }
    recording = run_program(changed, secrets=("axion:gatewayApiKeys",))
    assert recording.errors == ""
    rules = {each.inputs["name"]: each.inputs for each in recording.of_type("Firewall")}
    assert rules["axion-prod-allow-gateway"]["sourceRanges"] == ["10.9.0.0/16"]
    assert rules["axion-prod-allow-gateway"]["allows"] == [{"protocol": "tcp", "ports": ["8443"]}]
    assert rules["axion-prod-allow-public-main"]["sourceRanges"] == ["203.0.113.0/28"]
    assert rules["axion-prod-allow-public-main"]["targetTags"] == ["axion-prod-host-main"]
    address = recording.one("Address")
    assert (address.inputs["name"], address.inputs["region"]) == ("axion-prod-address-main", "us-central1")
    (interface,) = recording.one("Instance").inputs["networkInterfaces"]
    assert interface["accessConfigs"] == [{"natIp": "203.0.113.77", "networkTier": "PREMIUM"}]
    host = recording.outputs["inventory"]["hosts"]["main"]
    assert host["external_ip"] == "203.0.113.77"
    assert host["gateway_clients"] == ["10.9.0.0/16", "203.0.113.0/28"]
    assert host["gateway_keys"] == "projects/the-project/secrets/axion-prod-gateway-api-keys"


def test_problems_end_the_program_before_any_resource() -> None:
    wrong = {**config_of("prod"), "axion:maxHourlyUsd": 1, "axion:hosts": {"main": {"machineType": "c4a-standard-33"}}}
    recording = run_program(wrong)
    assert recording.exit_code == 32
    assert recording.resources == []
    assert "Traceback" not in recording.errors
