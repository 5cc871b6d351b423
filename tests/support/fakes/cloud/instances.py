"""Instances: what an insert checks and makes, how they start and stop, and what deleting one leaves behind."""

from typing import Any

from tests.support.fakes.cloud import addresses, local_ssds, places, rules
from tests.support.fakes.cloud.boot import boot, shut_down
from tests.support.fakes.cloud.call import Call, answers, fingerprint, start_operation
from tests.support.fakes.cloud.cards import new_card
from tests.support.fakes.cloud.disks import fill, release, use
from tests.support.fakes.cloud.errors import ApiError, invalid, invalid_field, not_found
from tests.support.fakes.cloud.instance_disks import instance_disks
from tests.support.fakes.cloud.operations import Collection
from tests.support.fakes.cloud.others import check_accounts
from tests.support.fakes.cloud.state import PREFIX, now

Json = dict[str, Any]
METADATA_BYTES = 512 * 1024


def machine_of(call: Call, reference: str) -> rules.Machine:
    """The machine type that a body names."""
    if not reference:
        raise invalid_field("resource.machineType", "", "The field cannot be left blank.")
    return rules.machine_in(call.resolve(reference, f"{call.scope}/machineTypes"))


def _instance(call: Call, path: str, body: Json) -> Json:
    places.check_place(call)
    machine = machine_of(call, body.get("machineType", ""))
    rules.check_features(machine, body)
    check_accounts(call, body.get("serviceAccounts", []))
    disks, made = instance_disks(call, path, body, machine)
    cards = [
        new_card(call, path, index, dict(card), machine) for index, card in enumerate(body.get("networkInterfaces", []))
    ]
    if not cards:
        raise invalid("At least one network interface is required.")
    scheduling = body.get("scheduling", {})
    rules.check_scheduling(scheduling)
    local_ssds.check_scheduling(machine, scheduling)
    for disk_path, disk in made.items():
        call.state.add(disk_path, disk)
        fill(call, disk_path, disk)
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


def let_go(call: Call, path: str) -> None:
    """What happens to the disks and addresses of an instance that goes away."""
    instance = call.state.get(path)
    addresses.let_go(call.state, path, addresses.configs_of(instance))
    for attached in instance["disks"]:
        if local_ssds.is_local(attached):
            continue
        disk_path = call.resolve(attached["source"])
        release(call.state.resources.get(disk_path, {}), path)
        if attached["autoDelete"]:
            call.state.remove(disk_path)


INSTANCES = Collection(
    name="instances",
    singular="instance",
    prepare=_instance,
    finish=boot,
    gone=let_go,
    leave=shut_down,
).register()


@answers("compute.instances.stop")
def stop(call: Call) -> Json:
    """Stop: disks stay and keep costing."""
    path = INSTANCES.path(call)
    instance = call.state.get(path)
    local_ssds.check_stop(call, instance)

    def finish() -> None:
        addresses.drop_ephemeral(call.state, instance)
        instance.update(status="TERMINATED", lastStopTimestamp=now())

    instance["status"] = "STOPPING" if instance["status"] == "RUNNING" else instance["status"]
    return start_operation(call, path, finish=finish, is_ready=shut_down(call, path))


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
