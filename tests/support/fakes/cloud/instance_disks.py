"""The disks of an instance: made with it, taken from what is there, and how it shows them."""

from typing import Any

from tests.support.fakes.cloud import disk_rules, local_ssds, rules
from tests.support.fakes.cloud.call import Call
from tests.support.fakes.cloud.disks import SOURCES, new_disk
from tests.support.fakes.cloud.errors import already_exists, in_use, invalid
from tests.support.fakes.cloud.state import PREFIX, now

Json = dict[str, Any]


def instance_disks(call: Call, path: str, body: Json, machine: rules.Machine) -> tuple[list[Json], dict[str, Json]]:
    """The instance's list of disks, and the disks to be made for it."""
    name, attached, made, all_disks = path.rpartition("/")[2], list[Json](), dict[str, Json](), list[Json]()
    if sum(1 for disk in body.get("disks", []) if disk.get("boot")) != 1:
        raise invalid("Exactly one boot disk is required.")
    persistent = [given for given in body["disks"] if not local_ssds.is_local(given)]
    for index, given in enumerate(persistent):
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
        all_disks.append(disk)
        disk_rules.check_use(disk, given, call.parameters["zone"], f"resource.disks[{index}]")
        if given.get("boot"):
            features = [feature["type"] for feature in disk.get("guestOsFeatures", [])]
            rules.check_image(machine, disk.get("architecture", "X86_64"), features)
        attached.append(attached_disk(given, disk_path, disk, index))
    rules.check_disks(machine, all_disks)
    return [*attached, *local_ssds.local_disks(machine, body["disks"], len(attached))], made


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
