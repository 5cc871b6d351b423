"""Local SSDs: on Axion the machine type brings them, and a stop has to say what becomes of them.

Google, "About Local SSD disks" (machine types that automatically attach Local SSD disks; stop or suspend a VM with
Local SSD) and "General-purpose machine family" (C4A: "You can't attach Titanium SSD volumes separately").
"""

from typing import Any

from tests.support.fakes.cloud.call import Call
from tests.support.fakes.cloud.errors import ApiError, invalid, invalid_field
from tests.support.fakes.cloud.rules import Machine

Json = dict[str, Any]
SIZE_GB = 375


def is_local(disk: Json) -> bool:
    """Whether an attached disk is a local SSD, which has no disk resource."""
    return bool(disk.get("type") == "SCRATCH")


def local_disks(machine: Machine, given: list[Json], first_index: int) -> list[Json]:
    """The machine's local SSDs as the instance shows them, asked for or not; another number of them is refused.

    The sentence is Google's for N2 (yugabyte-db #11284); that C4A gets the same one is not known to us.
    """
    asked = [disk for disk in given if is_local(disk)]
    if asked and len(asked) != machine.local_ssds:
        raise invalid(
            f"Number of local SSDs for an instance of type {machine.name} should be one of [{machine.local_ssds}], "
            f"while [{len(asked)}] is requested."
        )
    for disk in asked:
        if disk.get("interface", "NVME") != "NVME":
            raise invalid_field("resource.disks.interface", disk["interface"], f"{machine.name} has NVMe disks only.")
    return [
        {
            "kind": "compute#attachedDisk",
            "type": "SCRATCH",
            "mode": "READ_WRITE",
            "boot": False,
            "autoDelete": True,
            "interface": "NVME",
            # As Fabric's #4148 shows them on Z3.
            "deviceName": f"local-ssd-{number}",
            "index": first_index + number,
            "diskSizeGb": str(SIZE_GB),
        }
        for number in range(machine.local_ssds)
    ]


def check_stop(call: Call, instance: Json) -> None:
    """A stop must say whether the data is to be lost; the sentence is Google's (skypilot #2586, also for lssd types).

    Google's provider for Terraform and Pulumi sends no such parameter, so it cannot stop these instances.
    """
    ours = [disk for disk in instance["disks"] if is_local(disk)]
    wanted = call.parameters.get("discardLocalSsd", "")
    if ours and not wanted:
        raise ApiError(
            400,
            "badRequest",
            "VM has a Local SSD attached but an undefined value for `discard-local-ssd`. If using gcloud, please add "
            "`--discard-local-ssd=false` or `--discard-local-ssd=true` to your command.",
        )
    for disk in ours:
        disk["savedState"] = "PRESERVED" if wanted.lower() == "false" else "DISK_SAVED_STATE_UNSPECIFIED"


def check_scheduling(machine: Machine, scheduling: Json) -> None:
    """With a time limit that stops, the local SSDs' data must be given up beforehand, and only then.

    gcloud's help for `--discard-local-ssds-at-termination-timestamp`: "required to be set to true and only allowed for
    VMs that have one or more local SSDs", with STOP and a time limit.
    """
    discards = scheduling.get("onInstanceStopAction", {}).get("discardLocalSsd")
    stops = "maxRunDuration" in scheduling and scheduling.get("instanceTerminationAction") == "STOP"
    field = "resource.scheduling.onInstanceStopAction.discardLocalSsd"
    if discards is not None and not (machine.local_ssds and stops):
        raise invalid_field(field, discards, "It needs local SSDs, a time limit, and STOP at its end.")
    if machine.local_ssds and stops and not discards:
        raise invalid_field(field, discards, "It must be true for an instance with local SSDs that stops by itself.")
