"""Changes of an existing instance: which need it stopped, which need a fresh fingerprint, which a free disk."""

from collections.abc import Callable
from typing import Any

from tests.support.fakes.cloud import addresses, disk_rules, local_ssds, rules
from tests.support.fakes.cloud.call import Call, answers, fingerprint, same_bytes, start_operation
from tests.support.fakes.cloud.cards import access_config
from tests.support.fakes.cloud.disks import release, set_labels, use
from tests.support.fakes.cloud.errors import ApiError, in_use, invalid, invalid_field
from tests.support.fakes.cloud.instance_disks import attached_disk
from tests.support.fakes.cloud.instances import INSTANCES, machine_of, stamped_metadata
from tests.support.fakes.cloud.others import check_accounts
from tests.support.fakes.cloud.state import PREFIX

Json = dict[str, Any]


def _change(call: Call, change: Callable[[Json], None]) -> Json:
    path = INSTANCES.path(call)
    instance = call.state.get(path)
    return start_operation(call, path, finish=lambda: change(instance))


def _stopped(call: Call, what: str) -> Json:
    instance = call.state.get(INSTANCES.path(call))
    if instance["status"] != "TERMINATED":
        message = f"Instance '{instance['name']}' must be in state TERMINATED to change its {what}."
        raise ApiError(400, "instanceNotStopped", message)
    return instance


def _fresh(call: Call, current: str) -> None:
    if not same_bytes(call.body.get("fingerprint", ""), current):
        raise ApiError(412, "conditionNotMet", "Supplied fingerprint does not match current metadata fingerprint.")


@answers("compute.instances.setLabels")
def set_instance_labels(call: Call) -> Json:
    """Replace all labels."""
    return set_labels(call, INSTANCES)


@answers("compute.instances.setMetadata")
def set_metadata(call: Call) -> Json:
    """Replace all metadata."""
    _fresh(call, call.state.get(INSTANCES.path(call))["metadata"]["fingerprint"])
    metadata = stamped_metadata(call.body)
    return _change(call, lambda instance: instance.update(metadata=metadata))


@answers("compute.instances.setTags")
def set_tags(call: Call) -> Json:
    """Replace all network tags."""
    _fresh(call, call.state.get(INSTANCES.path(call))["tags"]["fingerprint"])
    items = call.body.get("items", [])
    return _change(call, lambda instance: instance.update(tags={"items": items, "fingerprint": fingerprint(items)}))


def _disks(call: Call, instance: Json) -> list[Json]:
    """The disk resources of an instance; local SSDs are none."""
    return [call.state.get(call.resolve(one["source"])) for one in instance["disks"] if "source" in one]


def _same_local_ssds(instance: Json, machine: rules.Machine) -> None:
    """Local SSDs come and go with an instance ("About Local SSD disks"); Google's sentence is not known to us."""
    have = sum(1 for one in instance["disks"] if local_ssds.is_local(one))
    if have or machine.local_ssds:
        message = f"[{machine.name}] a machine with local SSDs cannot be changed into another, or be made of another."
        raise ApiError(400, "badRequest", message)


@answers("compute.instances.setMachineType")
def set_machine_type(call: Call) -> Json:
    """Another shape, while the instance is stopped; its disks and image must suit it."""
    instance = _stopped(call, "machine type")
    machine = machine_of(call, call.body.get("machineType", ""))
    _same_local_ssds(instance, machine)
    disks = _disks(call, instance)
    rules.check_disks(machine, disks, "setting machine type")
    boot = call.state.get(call.resolve(next(one for one in instance["disks"] if one["boot"])["source"]))
    rules.check_image(machine, boot.get("architecture", "X86_64"), [one["type"] for one in boot["guestOsFeatures"]])
    link = f"{PREFIX}{call.parent}/machineTypes/{machine.name}"
    return _change(call, lambda instance: instance.update(machineType=link))


@answers("compute.instances.setServiceAccount")
def set_service_account(call: Call) -> Json:
    """Another identity, while the instance is stopped."""
    _stopped(call, "service account")
    check_accounts(call, [call.body])
    return _change(call, lambda instance: instance.update(serviceAccounts=[call.body]))


@answers("compute.instances.updateShieldedInstanceConfig")
def update_shielded(call: Call) -> Json:
    """Other boot protection, while the instance is stopped."""
    _stopped(call, "shielded instance config")
    return _change(call, lambda instance: instance["shieldedInstanceConfig"].update(call.body))


@answers("compute.instances.setScheduling")
def set_scheduling(call: Call) -> Json:
    """Other scheduling; the provisioning model itself and time limits only while stopped."""
    instance = call.state.get(INSTANCES.path(call))
    new = {**instance["scheduling"], **call.body}
    rules.check_scheduling(new)
    local_ssds.check_scheduling(rules.MACHINES[instance["machineType"].rpartition("/")[2]], new)
    for name in ("provisioningModel", "preemptible", "maxRunDuration"):
        if new.get(name) != instance["scheduling"].get(name):
            _stopped(call, f"scheduling.{name}")
    return _change(call, lambda instance: instance.update(scheduling=new))


@answers("compute.instances.setDeletionProtection")
def set_deletion_protection(call: Call) -> Json:
    """Protect against deletion, or no longer."""
    wanted = call.parameters.get("deletionProtection", "true").lower() == "true"
    return _change(call, lambda instance: instance.update(deletionProtection=wanted))


@answers("compute.instances.attachDisk")
def attach_disk(call: Call) -> Json:
    """Attach an existing disk that suits the machine and is free."""
    path = INSTANCES.path(call)
    instance = call.state.get(path)
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

    def change(instance: Json) -> None:
        instance["disks"].append(attached)
        use(disk, path)

    return _change(call, change)


def _attached(call: Call) -> Json:
    name = call.parameters["deviceName"]
    for attached in call.state.get(INSTANCES.path(call))["disks"]:
        if attached["deviceName"] == name:
            return dict(attached)
    raise invalid(f"Invalid value for field 'deviceName': '{name}'. No attached disk found with device name '{name}'")


@answers("compute.instances.detachDisk")
def detach_disk(call: Call) -> Json:
    """Detach a disk; the boot disk only while stopped."""
    path, attached = INSTANCES.path(call), _attached(call)
    if attached["boot"]:
        _stopped(call, "boot disk")
    disk = call.state.get(call.resolve(attached["source"]))

    def change(instance: Json) -> None:
        instance["disks"] = [one for one in instance["disks"] if one["deviceName"] != attached["deviceName"]]
        release(disk, path)

    return _change(call, change)


@answers("compute.instances.setDiskAutoDelete")
def set_auto_delete(call: Call) -> Json:
    """Whether a disk goes with its instance."""
    name = _attached(call)["deviceName"]
    wanted = call.parameters["autoDelete"].lower() == "true"

    def change(instance: Json) -> None:
        next(one for one in instance["disks"] if one["deviceName"] == name)["autoDelete"] = wanted

    return _change(call, change)


def _card(call: Call) -> Any:
    name = call.parameters["networkInterface"]
    for card in call.state.get(INSTANCES.path(call))["networkInterfaces"]:
        if card["name"] == name:
            return card
    raise invalid_field("networkInterface", name, "The network interface does not exist.")


@answers("compute.instances.addAccessConfig")
def add_access_config(call: Call) -> Json:
    """Give a card a public address."""
    card = _card(call)
    if card.get("accessConfigs"):
        raise invalid("At most one access config currently supported.")
    config = access_config(call, INSTANCES.path(call), call.body)

    def change(instance: Json) -> None:
        card.update(accessConfigs=[config])
        if instance["status"] == "RUNNING":
            addresses.give_ephemeral(call.state, instance)

    return _change(call, change)


@answers("compute.instances.deleteAccessConfig")
def delete_access_config(call: Call) -> Json:
    """Take a card's public address away."""
    card, name = _card(call), call.parameters["accessConfig"]
    if name not in [config["name"] for config in card.get("accessConfigs", [])]:
        raise invalid_field("accessConfig", name, "The access config does not exist.")
    path = INSTANCES.path(call)
    return _change(call, lambda instance: addresses.let_go(call.state, path, card.pop("accessConfigs")))
