"""Instances: what an insert checks and makes, how they start and stop, and what deleting one leaves behind."""

from collections.abc import Iterator
from typing import Any

from tests.fakes.cloud import places, rules
from tests.fakes.cloud.boot import boot, shut_down
from tests.fakes.cloud.call import Call, answers, fingerprint, start_operation
from tests.fakes.cloud.cards import new_card
from tests.fakes.cloud.disks import SOURCES, fill, new_disk, release, use
from tests.fakes.cloud.errors import ApiError, already_exists, in_use, invalid, invalid_field, not_found
from tests.fakes.cloud.operations import Collection
from tests.fakes.cloud.state import PREFIX, now

Json = dict[str, Any]
METADATA_BYTES = 512 * 1024


def machine_of(call: Call, reference: str) -> rules.Machine:
    """The machine type that a body names."""
    if not reference:
        raise invalid_field("resource.machineType", "", "The field cannot be left blank.")
    return rules.machine_in(call.resolve(reference, f"{call.scope}/machineTypes"))


def disk_kind(call: Call, reference: str) -> str:
    """The type of an existing disk."""
    return str(call.state.get(call.resolve(reference))["type"].rpartition("/")[2])


def _instance(call: Call, path: str, body: Json) -> Json:
    places.check_place(call)
    machine = machine_of(call, body.get("machineType", ""))
    rules.check_features(machine, body)
    disks, made = _disks(call, path, body, machine)
    cards = [
        new_card(call, path, index, dict(card), machine) for index, card in enumerate(body.get("networkInterfaces", []))
    ]
    if not cards:
        raise invalid("At least one network interface is required.")
    scheduling = body.get("scheduling", {})
    rules.check_scheduling(scheduling)
    for disk_path, disk in made.items():
        call.state.add(disk_path, disk)
        fill(call, disk)
    for disk in disks:
        if "source" in disk:
            use(call.state.get(call.resolve(disk["source"])), path)
    return {
        "status": "PROVISIONING",
        "canIpForward": False,
        "deletionProtection": False,
        **body,
        "machineType": f"{PREFIX}{call.parent}/machineTypes/{machine.name}",
        "cpuPlatform": "Google Axion" if machine.is_arm else "Intel Cascade Lake",
        "disks": disks,
        "networkInterfaces": cards,
        "scheduling": _scheduling(scheduling),
        "metadata": stamped_metadata(body.get("metadata", {})),
        "tags": {**body.get("tags", {}), "fingerprint": fingerprint(body.get("tags", {}).get("items", []))},
        "labelFingerprint": fingerprint(body.get("labels", {})),
        "fingerprint": fingerprint(path),
        "shieldedInstanceConfig": {
            "enableSecureBoot": False,
            "enableVtpm": True,
            "enableIntegrityMonitoring": True,
            **body.get("shieldedInstanceConfig", {}),
        },
        "startRestricted": False,
    }


def _scheduling(given: Json) -> Json:
    is_spot = given.get("provisioningModel") == "SPOT"
    defaults = {
        "provisioningModel": "STANDARD",
        "preemptible": is_spot,
        "automaticRestart": not is_spot,
        "onHostMaintenance": "TERMINATE" if is_spot else "MIGRATE",
    }
    return {**defaults, **given}


def stamped_metadata(metadata: Json) -> Json:
    """Metadata with its fingerprint, if it is not too large."""
    items = metadata.get("items", [])
    if sum(len(item["key"]) + len(item.get("value", "").encode()) for item in items) > METADATA_BYTES:
        raise ApiError(413, "invalid", "Metadata size exceeds the limit of 524288 bytes.")
    keys = [item["key"] for item in items]
    if len(keys) != len(set(keys)):
        raise invalid_field("resource.metadata", keys, "Duplicate keys.")
    return {"kind": "compute#metadata", "items": items, "fingerprint": fingerprint(items)}


def _disks(call: Call, path: str, body: Json, machine: rules.Machine) -> tuple[list[Json], dict[str, Json]]:
    """The instance's list of disks, and the disks to be made for it."""
    name, attached, made, kinds = path.rpartition("/")[2], list[Json](), dict[str, Json](), list[str]()
    if sum(1 for disk in body.get("disks", []) if disk.get("boot")) != 1:
        raise invalid("Exactly one boot disk is required.")
    for index, given in enumerate(body["disks"]):
        if ("source" in given) == ("initializeParams" in given):
            raise invalid(f"Disk {index} must have exactly one of 'source' and 'initializeParams'.")
        if "initializeParams" in given:
            disk_path, disk = _new_attached(call, name, index, given)
            made[disk_path] = {**disk, "users": []}
        else:
            disk_path = call.resolve(given["source"])
            disk = call.state.get(disk_path)
            if disk.get("users") and given.get("mode") != "READ_ONLY":
                raise in_use(disk_path, disk["users"][0].removeprefix(PREFIX))
        kinds.append(disk["type"].rpartition("/")[2])
        if given.get("boot"):
            features = [feature["type"] for feature in disk.get("guestOsFeatures", [])]
            rules.check_image(machine, disk.get("architecture", "X86_64"), features)
        attached.append(attached_disk(given, disk_path, disk, index))
    rules.check_disks(machine, kinds)
    return attached, made


def _new_attached(call: Call, name: str, index: int, given: Json) -> tuple[str, Json]:
    wanted = given["initializeParams"]
    disk_name = wanted.get("diskName", name if index == 0 else f"{name}-{index}")
    path = f"{call.parent}/disks/{disk_name}"
    if path in call.state.resources:
        raise already_exists(path)
    kept = ("labels", "provisionedIops", "provisionedThroughput", "resourcePolicies", "architecture", *SOURCES)
    body = {key: wanted[key] for key in kept if key in wanted}
    body |= {"name": disk_name, **({"type": wanted["diskType"]} if "diskType" in wanted else {})}
    body |= {"sizeGb": wanted["diskSizeGb"]} if "diskSizeGb" in wanted else {}
    disk = new_disk(call, body, f"resource.disks[{index}].initializeParams")
    head = {"kind": "compute#disk", "creationTimestamp": now(), "selfLink": PREFIX + path}
    return path, {**head, **disk, "zone": PREFIX + call.parent}


def attached_disk(given: Json, path: str, disk: Json, index: int) -> Json:
    """How an instance shows one of its disks."""
    kept = {key: value for key, value in given.items() if key != "initializeParams"}
    return {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": "READ_WRITE",
        "boot": False,
        "autoDelete": False,
        "interface": "NVME",
        "deviceName": f"persistent-disk-{index}",
        **kept,
        "index": index,
        "source": PREFIX + path,
        "diskSizeGb": disk["sizeGb"],
        **({"architecture": disk["architecture"]} if "architecture" in disk else {}),
    }


def release_disks(call: Call, path: str) -> None:
    """What happens to the disks of an instance that goes away."""
    for attached in call.state.get(path)["disks"]:
        disk_path = call.resolve(attached["source"])
        release(call.state.resources.get(disk_path, {}), path)
        if attached["autoDelete"]:
            call.state.remove(disk_path)


def _nobody(call: Call, path: str) -> Iterator[str]:
    return iter(())


INSTANCES = Collection(
    name="instances",
    singular="instance",
    prepare=_instance,
    finish=boot,
    users=_nobody,
    gone=release_disks,
    leave=shut_down,
).register()


@answers("compute.instances.stop")
def stop(call: Call) -> Json:
    """Stop: disks stay and keep costing."""
    path = INSTANCES.path(call)
    instance = call.state.get(path)
    instance["status"] = "STOPPING" if instance["status"] == "RUNNING" else instance["status"]
    return start_operation(
        call,
        path,
        finish=lambda: instance.update(status="TERMINATED", lastStopTimestamp=now()),
        is_ready=shut_down(call, path),
    )


@answers("compute.instances.start")
def start(call: Call) -> Json:
    """Start a stopped instance; it may find no machine left."""
    path = INSTANCES.path(call)
    instance = call.state.get(path)
    if instance["status"] == "RUNNING":
        return start_operation(call, path)
    return start_operation(
        call, path, finish=lambda: boot(call, instance), undo=lambda: instance.update(status="TERMINATED")
    )


@answers("compute.instances.reset")
def reset(call: Call) -> Json:
    """Power-cycle a running instance."""
    path = INSTANCES.path(call)
    if call.state.get(path)["status"] != "RUNNING":
        raise ApiError(400, "resourceNotReady", f"The resource '{path}' is not ready")
    machines = call.state.machines
    return start_operation(call, path, finish=lambda: machines.reset(path) if machines else None)


@answers("compute.instances.getGuestAttributes")
def guest_attributes(call: Call) -> Json:
    """What the guest has published below a namespace or at a key."""
    path = INSTANCES.path(call)
    call.state.get(path)
    wanted = call.parameters.get("queryPath", "") or call.parameters.get("variableKey", "")
    found = call.state.guest_attributes.get(path, {})
    items = [
        {"namespace": name.partition("/")[0], "key": name.partition("/")[2], "value": value}
        for name, value in sorted(found.items())
        if not wanted or name == wanted or name.startswith(wanted.rstrip("/") + "/")
    ]
    if not items:
        raise ApiError(404, "notFound", f"The resource '{wanted}' of type 'Guest Attribute' was not found.")
    link = f"{PREFIX}{path}/getGuestAttributes"
    return {"kind": "compute#guestAttributes", "queryPath": wanted, "queryValue": {"items": items}, "selfLink": link}


@answers("compute.instances.getSerialPortOutput")
def serial_port(call: Call) -> Json:
    """Nothing is ever written there."""
    path = INSTANCES.path(call)
    if path not in call.state.resources:
        raise not_found(path)
    return {"kind": "compute#serialPortOutput", "contents": "", "start": "0", "next": "0"}
