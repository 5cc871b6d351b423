"""Changes of an existing instance: which need it stopped, which need a fresh fingerprint, which a free disk."""

from typing import Any

from tests.support.fakes.cloud import addresses, disk_rules, local_ssds, rules
from tests.support.fakes.cloud.call import Call, fingerprint, same_bytes
from tests.support.fakes.cloud.cards import access_config
from tests.support.fakes.cloud.disks import release, use
from tests.support.fakes.cloud.errors import ApiError, in_use, invalid, invalid_field
from tests.support.fakes.cloud.instance_disks import attached_disk
from tests.support.fakes.cloud.instances import INSTANCES, machine_of, stamped_metadata
from tests.support.fakes.cloud.operations import Changes
from tests.support.fakes.cloud.others import check_accounts
from tests.support.fakes.cloud.state import PREFIX

Json = dict[str, Any]


def _stopped(instance: Json, what: str) -> None:
    if instance["status"] != "TERMINATED":
        message = f"Instance '{instance['name']}' must be in state TERMINATED to change its {what}."
        raise ApiError(400, "instanceNotStopped", message)


def _fresh(call: Call, current: str) -> None:
    if not same_bytes(call.body.get("fingerprint", ""), current):
        raise ApiError(412, "conditionNotMet", "Supplied fingerprint does not match current metadata fingerprint.")


@INSTANCES.changes("setMetadata")
def set_metadata(call: Call, instance: Json) -> Json:
    """Replace all metadata."""
    _fresh(call, instance["metadata"]["fingerprint"])
    return {"metadata": stamped_metadata(call.body)}


@INSTANCES.changes("setTags")
def set_tags(call: Call, instance: Json) -> Json:
    """Replace all network tags."""
    _fresh(call, instance["tags"]["fingerprint"])
    items = call.body.get("items", [])
    return {"tags": {"items": items, "fingerprint": fingerprint(items)}}


def _disks(call: Call, instance: Json) -> list[Json]:
    """The disk resources of an instance; local SSDs are none."""
    return [call.state.get(call.resolve(one["source"])) for one in instance["disks"] if "source" in one]


def _same_local_ssds(instance: Json, machine: rules.Machine) -> None:
    """Local SSDs come and go with an instance ("About Local SSD disks"); Google's sentence is not known to us."""
    have = sum(1 for one in instance["disks"] if local_ssds.is_local(one))
    if have or machine.local_ssds:
        message = f"[{machine.name}] a machine with local SSDs cannot be changed into another, or be made of another."
        raise ApiError(400, "badRequest", message)


@INSTANCES.changes("setMachineType")
def set_machine_type(call: Call, instance: Json) -> Json:
    """Another shape, while the instance is stopped; its disks and image must suit it."""
    _stopped(instance, "machine type")
    machine = machine_of(call, call.body.get("machineType", ""))
    _same_local_ssds(instance, machine)
    disks = _disks(call, instance)
    rules.check_disks(machine, disks, "setting machine type")
    boot = call.state.get(call.resolve(next(one for one in instance["disks"] if one["boot"])["source"]))
    rules.check_image(machine, boot.get("architecture", "X86_64"), [one["type"] for one in boot["guestOsFeatures"]])
    return {"machineType": f"{PREFIX}{call.parent}/machineTypes/{machine.name}"}


@INSTANCES.changes("setServiceAccount")
def set_service_account(call: Call, instance: Json) -> Json:
    """Another identity, while the instance is stopped."""
    _stopped(instance, "service account")
    check_accounts(call, [call.body])
    return {"serviceAccounts": [call.body]}


@INSTANCES.changes("updateShieldedInstanceConfig")
def update_shielded(call: Call, instance: Json) -> Changes:
    """Other boot protection, while the instance is stopped."""
    _stopped(instance, "shielded instance config")
    return lambda: instance["shieldedInstanceConfig"].update(call.body)


@INSTANCES.changes("setScheduling")
def set_scheduling(call: Call, instance: Json) -> Json:
    """Other scheduling; the provisioning model itself and time limits only while stopped."""
    new = {**instance["scheduling"], **call.body}
    rules.check_scheduling(new)
    local_ssds.check_scheduling(rules.MACHINES[instance["machineType"].rpartition("/")[2]], new)
    for name in ("provisioningModel", "preemptible", "maxRunDuration"):
        if new.get(name) != instance["scheduling"].get(name):
            _stopped(instance, f"scheduling.{name}")
    return {"scheduling": new}


@INSTANCES.changes("setDeletionProtection")
def set_deletion_protection(call: Call, instance: Json) -> Json:
    """Protect against deletion, or no longer."""
    return {"deletionProtection": call.parameters.get("deletionProtection", "true").lower() == "true"}


@INSTANCES.changes("attachDisk")
def attach_disk(call: Call, instance: Json) -> Changes:
    """Attach an existing disk that suits the machine and is free."""
    disk_path = call.resolve(call.body.get("source", ""))
    disk = call.state.get(disk_path)
    if disk.get("users") and call.body.get("mode") != "READ_ONLY":
        raise in_use(disk_path, disk["users"][0].removeprefix(PREFIX))
    disk_rules.check_use(disk, call.body, call.parameters["zone"], "resource")
    machine = rules.MACHINES[instance["machineType"].rpartition("/")[2]]
    rules.check_disks(machine, [*_disks(call, instance), disk], "attaching disk")
    index = 1 + max(one["index"] for one in instance["disks"])
    attached = attached_disk(call.body, disk_path, disk, index)
    if attached["deviceName"] in {one["deviceName"] for one in instance["disks"]}:
        raise invalid_field("resource.deviceName", attached["deviceName"], "Device name is already in use.")

    def finish() -> None:
        instance["disks"].append(attached)
        use(disk, INSTANCES.path(call))

    return finish


def _attached(call: Call, instance: Json) -> Json:
    name = call.parameters["deviceName"]
    for attached in instance["disks"]:
        if attached["deviceName"] == name:
            return dict(attached)
    raise invalid(f"Invalid value for field 'deviceName': '{name}'. No attached disk found with device name '{name}'")


@INSTANCES.changes("detachDisk")
def detach_disk(call: Call, instance: Json) -> Changes:
    """Detach a disk; the boot disk only while stopped."""
    attached = _attached(call, instance)
    if attached["boot"]:
        _stopped(instance, "boot disk")
    disk = call.state.get(call.resolve(attached["source"]))

    def finish() -> None:
        instance["disks"] = [one for one in instance["disks"] if one["deviceName"] != attached["deviceName"]]
        release(disk, INSTANCES.path(call))

    return finish


@INSTANCES.changes("setDiskAutoDelete")
def set_auto_delete(call: Call, instance: Json) -> Changes:
    """Whether a disk goes with its instance."""
    name = _attached(call, instance)["deviceName"]
    wanted = call.parameters["autoDelete"].lower() == "true"
    return lambda: next(one for one in instance["disks"] if one["deviceName"] == name).update(autoDelete=wanted)


def _card(call: Call, instance: Json) -> Any:
    name = call.parameters["networkInterface"]
    for card in instance["networkInterfaces"]:
        if card["name"] == name:
            return card
    raise invalid_field("networkInterface", name, "The network interface does not exist.")


@INSTANCES.changes("addAccessConfig")
def add_access_config(call: Call, instance: Json) -> Changes:
    """Give a card a public address."""
    card = _card(call, instance)
    if card.get("accessConfigs"):
        raise invalid("At most one access config currently supported.")
    config = access_config(call, INSTANCES.path(call), call.body)

    def finish() -> None:
        card.update(accessConfigs=[config])
        if instance["status"] == "RUNNING":
            addresses.give_ephemeral(call.state, instance)

    return finish


@INSTANCES.changes("deleteAccessConfig")
def delete_access_config(call: Call, instance: Json) -> Changes:
    """Take a card's public address away."""
    card, name = _card(call, instance), call.parameters["accessConfig"]
    if name not in [config["name"] for config in card.get("accessConfigs", [])]:
        raise invalid_field("accessConfig", name, "The access config does not exist.")
    return lambda: addresses.let_go(call.state, INSTANCES.path(call), card.pop("accessConfigs"))
