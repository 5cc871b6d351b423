"""How an instance changes in place: the calls for each input, and which of them need it stopped."""

from typing import Any

from tests.support.fakes.provider.compute_disk import set_labels
from tests.support.fakes.provider.fields import last, to_rest
from tests.support.fakes.provider.kinds import Step
from tests.support.fakes.provider.rest import Rest

Json = dict[str, Any]
API = "compute/v1/"
# What Google changes on a stopped instance only.
STOPPED_SCHEDULING = ("provisioningModel", "preemptible", "maxRunDuration", "nodeAffinities")
STOP_MESSAGE = (
    "Changing the machine_type, min_cpu_platform, service_account, enable_display, shielded_instance_config, "
    "scheduling.node_affinities, scheduling.max_run_duration or network_interface.[#d].(network/subnetwork/"
    "subnetwork_project) or advanced_machine_features on a started instance requires stopping it. To acknowledge this, "
    "please set allow_stopping_for_update = true in your config. You can also stop it by setting desired_status = "
    '"TERMINATED", but the instance will not be restarted after the update.'
)


def _metadata(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    current = rest.call("GET", API + resource_id)
    metadata = new.get("metadata", {})
    items = [{"key": key, "value": metadata[key]} for key in sorted(metadata)]
    rest.compute(
        "POST", f"{resource_id}/setMetadata", {"items": items, "fingerprint": current["metadata"]["fingerprint"]}
    )


def _tags(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    current = rest.call("GET", API + resource_id)
    body = {"items": new.get("tags", []), "fingerprint": current["tags"]["fingerprint"]}
    rest.compute("POST", f"{resource_id}/setTags", body)


def _scheduling(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    from tests.support.fakes.provider.compute_instance import SCHEDULING  # noqa: PLC0415, the table is built with these steps

    body = to_rest((SCHEDULING,), {"scheduling": new.get("scheduling", {})})["scheduling"]
    rest.compute("POST", f"{resource_id}/setScheduling", body)


def _protection(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    wanted = str(bool(new.get("deletionProtection", False))).lower()
    rest.compute("POST", f"{resource_id}/setDeletionProtection", query={"deletionProtection": wanted})


def _attached_disks(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    """Detach what is no longer wanted, then attach what is new."""
    there = [disk for disk in rest.call("GET", API + resource_id)["disks"] if not disk["boot"]]
    wanted = new.get("attachedDisks", [])

    def key(disk: Json) -> tuple[str, str, str]:
        source = disk["source"].split("/compute/v1/", 1)[-1]
        return (source, disk.get("deviceName", ""), disk.get("mode", "READ_WRITE"))

    keep = {key(disk) for disk in there} & {key(disk) for disk in wanted}
    for disk in there:
        if key(disk) not in keep:
            rest.compute("POST", f"{resource_id}/detachDisk", query={"deviceName": disk["deviceName"]})
    for disk in wanted:
        if key(disk) not in keep:
            rest.compute("POST", f"{resource_id}/attachDisk", {"autoDelete": False, **disk})


def _access_configs(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    """Take public addresses away and give them; every other part of a card makes a new instance here."""
    cards = rest.call("GET", API + resource_id)["networkInterfaces"]
    for card, wanted in zip(cards, new["networkInterfaces"], strict=True):
        query = {"networkInterface": card["name"]}
        for config in card.get("accessConfigs", []):
            rest.compute("POST", f"{resource_id}/deleteAccessConfig", query={**query, "accessConfig": config["name"]})
        for config in wanted.get("accessConfigs", []):
            body = {"type": "ONE_TO_ONE_NAT", "name": "external-nat"}
            body |= {"natIP": config["natIp"]} if config.get("natIp") else {}
            body |= {"networkTier": config["networkTier"]} if config.get("networkTier") else {}
            rest.compute("POST", f"{resource_id}/addAccessConfig", body, query)


def _machine_type(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    zone = resource_id.partition("/instances/")[0]
    wanted = f"{zone}/machineTypes/{last(new['machineType'])}"
    rest.compute("POST", f"{resource_id}/setMachineType", {"machineType": wanted})


def _service_account(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    rest.compute("POST", f"{resource_id}/setServiceAccount", new.get("serviceAccount", {"scopes": []}))


def _shielded(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    rest.compute("PATCH", f"{resource_id}/updateShieldedInstanceConfig", new.get("shieldedInstanceConfig", {}))


def _nothing(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    """`desiredStatus` is brought about by `apply` itself."""


def _step(name: str, run: Any, *, needs_stop: bool = False) -> Step:
    return Step(inputs=frozenset({name}), run=run, needs_stop=needs_stop)


STEPS = (
    _step("labels", set_labels),
    _step("metadata", _metadata),
    _step("tags", _tags),
    _step("deletionProtection", _protection),
    _step("attachedDisks", _attached_disks),
    _step("networkInterfaces.accessConfigs", _access_configs),
    _step("scheduling", _scheduling),
    _step("machineType", _machine_type, needs_stop=True),
    _step("serviceAccount", _service_account, needs_stop=True),
    _step("shieldedInstanceConfig", _shielded, needs_stop=True),
    _step("desiredStatus", _nothing),
)


def _needs_stop(step: Step, old: Json, new: Json) -> bool:
    if "scheduling" in step.inputs:
        before, after = old.get("scheduling", {}), new.get("scheduling", {})
        return any(after.get(name, before.get(name)) != before.get(name) for name in STOPPED_SCHEDULING)
    return step.needs_stop


def apply(rest: Rest, resource_id: str, old: Json, inputs: Json, changed: frozenset[str]) -> None:
    """Make all changes; stop the instance once if any needs it, and start it again if it ran."""
    chosen = [step for step in STEPS if {one.partition(".")[0] for one in step.inputs} & changed]
    stopping = [step for step in chosen if _needs_stop(step, old, inputs)]
    for step in chosen:
        if step not in stopping:
            step.run(rest, resource_id, old, inputs)
    runs = rest.call("GET", API + resource_id)["status"] == "RUNNING"
    wanted = inputs.get("desiredStatus", "RUNNING" if runs else "TERMINATED")
    if stopping and runs:
        if not inputs.get("allowStoppingForUpdate") and wanted == "RUNNING":
            raise ValueError(STOP_MESSAGE)
        rest.compute("POST", f"{resource_id}/stop")
        runs = False
    for step in stopping:
        step.run(rest, resource_id, old, inputs)
    if wanted == "RUNNING" and not runs:
        rest.compute("POST", f"{resource_id}/start")
    if wanted == "TERMINATED" and runs:
        rest.compute("POST", f"{resource_id}/stop")
