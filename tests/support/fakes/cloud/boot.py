"""What happens when an instance boots: quota, stock, and the host keys that our startup script publishes."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from tests.support.fakes.cloud import addresses, faults, rules
from tests.support.fakes.cloud.call import Call
from tests.support.fakes.cloud.state import PREFIX, now

Json = dict[str, Any]


def boot(call: Call, instance: Json) -> None:
    """Start the machine if the region's quota and the zone's stock allow it."""
    zone = instance["zone"].rpartition("/")[2]
    region, machine = zone.rpartition("-")[0], rules.MACHINES[instance["machineType"].rpartition("/")[2]]
    settings = call.state.settings
    if machine.series == "c4a":
        limit = settings.cpu_limits.get(region, settings.default_cpu_limit)
        if _cpus_running(call, region) + machine.cpus > limit:
            raise faults.quota_exceeded(region, limit)
    if zone in settings.stockout_zones:
        raise faults.stockout(zone, machine.name)
    addresses.give_ephemeral(call.state, instance)
    instance.update(status="RUNNING", lastStartTimestamp=now())
    for attached in (each for each in instance["disks"] if "source" in each):
        call.state.get(attached["source"].removeprefix(PREFIX))["lastAttachTimestamp"] = now()
    if call.state.machines is None:
        _publish_host_keys(call, instance)
    else:
        call.state.machines.power_on(instance["selfLink"].removeprefix(PREFIX), instance)


def shut_down(call: Call, path: str) -> Callable[[], bool]:
    """Have the instance's system end; the answer tells when it has."""
    if call.state.machines is None:
        return lambda: True
    return call.state.machines.power_off(path)


def _cpus_running(call: Call, region: str) -> int:
    cpus = 0
    for _, one in call.state.under(f"projects/{call.project}", "instances"):
        name = one["machineType"].rpartition("/")[2]
        if one["status"] == "RUNNING" and f"/zones/{region}-" in one["selfLink"] and name.startswith("c4a-"):
            cpus += rules.MACHINES[name].cpus
    return cpus


def _publish_host_keys(call: Call, instance: Json) -> None:
    """What our startup script does at every boot, if the instance allows guest attributes; here no script runs."""
    metadata = {item["key"]: item.get("value", "") for item in instance["metadata"]["items"]}
    if metadata.get("enable-guest-attributes", "").lower() == "true":
        key = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + hashlib.sha256(instance["id"].encode()).digest()
        path = instance["selfLink"].removeprefix(PREFIX)
        call.state.guest_attributes.setdefault(path, {})["hostkeys/ssh-ed25519"] = base64.b64encode(key).decode()
