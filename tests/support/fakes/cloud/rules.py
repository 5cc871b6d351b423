"""What Google refuses and its schemas do not say: machine series against disks, network cards, images, processors.

Written from Google's documentation of C4A and N4A as of 2026-11, and on purpose not from deployment/catalog: each
checks the other.
"""

from dataclasses import dataclass
from typing import Any

from tests.support.fakes.cloud.errors import ApiError, invalid, invalid_field, not_found

Json = dict[str, Any]

ZONES = {
    "us-central1": "abcf",
    "us-east1": "bcd",
    "us-east4": "abc",
    "us-west1": "abc",
    "europe-west1": "bcd",
    "europe-west2": "abc",
    "europe-west3": "abc",
    "europe-west4": "abc",
    "asia-east1": "abc",
    "asia-southeast1": "abc",
}
WITHOUT_AXION = frozenset({"us-central1-f", "us-east1-d", "europe-west1-d", "asia-east1-a"})
"""Zones of this cloud in which Arm machines are not offered. Google's own list changes: clients must ask."""

MEMORY_GB_PER_CPU = {"standard": 4, "highcpu": 2, "highmem": 8}
SIZES = {"c4a": (1, 2, 4, 8, 16, 32, 48, 64, 72), "n4a": (1, 2, 4, 8, 16, 32, 48, 64)}
LOCAL_SSDS = {4: 1, 8: 2, 16: 4, 32: 6, 48: 10, 64: 14, 72: 16}
X86 = {"e2-medium": (2, 4), "e2-standard-4": (4, 16), "n2-standard-4": (4, 16), "n2-standard-32": (32, 128)}
HYPERDISKS = {
    "c4a": {
        *("hyperdisk-balanced", "hyperdisk-balanced-high-availability"),
        *("hyperdisk-throughput", "hyperdisk-extreme", "hyperdisk-ml"),
    },
    # Hyperdisk ML since 2026-04-14 (Google's release notes of Compute Engine).
    "n4a": {"hyperdisk-balanced", "hyperdisk-balanced-high-availability", "hyperdisk-throughput", "hyperdisk-ml"},
}
EXTREME_CPUS = 64
MOST_EXTREME = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine type."""

    name: str
    cpus: int
    memory_gb: int
    local_ssds: int = 0

    @property
    def series(self) -> str:
        """c4a, n4a, or an x86 series."""
        return self.name.partition("-")[0]

    @property
    def is_arm(self) -> bool:
        """Whether it is Axion."""
        return self.series in SIZES

    @property
    def most_disks(self) -> int:
        """How many Hyperdisks it takes, the boot disk included."""
        if not self.is_arm or 16 <= self.cpus < EXTREME_CPUS:
            return 32
        return 16 if self.cpus < 16 else 64

    @property
    def most_disk_gb(self) -> int:
        """What all its disks may have together."""
        return (512 if self.cpus >= 32 else 257) * 1_024

    @property
    def architecture(self) -> str:
        """As the API writes it."""
        return "ARM64" if self.is_arm else "X86_64"


def _machines() -> dict[str, Machine]:
    found = [Machine(name=name, cpus=cpus, memory_gb=memory) for name, (cpus, memory) in X86.items()]
    for series, sizes in SIZES.items():
        for family, per_cpu in MEMORY_GB_PER_CPU.items():
            for cpus in sizes:
                name = f"{series}-{family}-{cpus}"
                found.append(Machine(name=name, cpus=cpus, memory_gb=cpus * per_cpu))
                if series == "c4a" and family != "highcpu" and cpus in LOCAL_SSDS:
                    ssds = LOCAL_SSDS[cpus]
                    found.append(Machine(name=f"{name}-lssd", cpus=cpus, memory_gb=cpus * per_cpu, local_ssds=ssds))
    return {machine.name: machine for machine in found}


MACHINES = _machines()


def zones() -> list[str]:
    """All zones."""
    return [f"{region}-{letter}" for region, letters in ZONES.items() for letter in letters]


def machines_in(zone: str) -> list[Machine]:
    """What a zone offers."""
    return [machine for machine in MACHINES.values() if not (machine.is_arm and zone in WITHOUT_AXION)]


def machine_in(path: str) -> Machine:
    """The machine type that a path means, or 404 when the zone does not have it."""
    zone, name = path.split("/")[3], path.rpartition("/")[2]
    for machine in machines_in(zone):
        if machine.name == name and zone in zones():
            return machine
    raise not_found(path)


def check_disks(machine: Machine, disks: list[Json], action: str = "creating instance") -> None:
    """Which disks a machine takes, how many and how much of them: "General-purpose machine family", C4A and N4A.

    What a machine can move is no rule: a disk provisioned with more than that is made, paid and never reached
    ("Hyperdisk volumes can't reach the provisioned performance unless the compute instance supports it").
    """
    allowed = HYPERDISKS.get(machine.series)
    kinds = [disk["type"].rpartition("/")[2] for disk in disks]
    for kind in kinds:
        refused = allowed is not None and kind not in allowed
        if refused or (kind == "hyperdisk-extreme" and machine.cpus < EXTREME_CPUS):
            message = f"[{kind}, {machine.name}] features are not compatible for {action}."
            raise ApiError(400, "badRequest", message)
    if len(kinds) > machine.most_disks:
        raise invalid(f"Cannot attach more than {machine.most_disks} disks to machine type {machine.name}.")
    if kinds.count("hyperdisk-extreme") > MOST_EXTREME:
        raise invalid(f"Cannot attach more than {MOST_EXTREME} hyperdisk-extreme disks to {machine.name}.")
    total_gb = sum(int(disk["sizeGb"]) for disk in disks)
    if total_gb > machine.most_disk_gb:
        raise invalid(f"The disks of {machine.name} may have {machine.most_disk_gb} GB together, got {total_gb} GB.")


def check_image(machine: Machine, architecture: str, features: list[str]) -> None:
    """Whether a machine boots from an image."""
    if architecture != machine.architecture:
        message = (
            f"Requested boot disk architecture ({architecture}) is not compatible with machine type architecture "
            f"({machine.architecture})."
        )
        raise ApiError(400, "badRequest", message)
    if machine.is_arm and "GVNIC" not in features:
        raise ApiError(400, "badRequest", f"{machine.name} requires an image with the guest OS feature GVNIC.")


def check_network_card(machine: Machine, interface: Json) -> None:
    """Axion has no other card than gVNIC; left open, Google chooses it."""
    chosen = interface.setdefault("nicType", "GVNIC" if machine.is_arm else "VIRTIO_NET")
    if machine.is_arm and chosen != "GVNIC":
        raise ApiError(
            400, "badRequest", f"[{chosen}, {machine.name}] features are not compatible for creating instance."
        )


def check_scheduling(scheduling: Json) -> None:
    """Spot and time limits have conditions of their own."""
    field = "resource.scheduling"
    is_spot = scheduling.get("provisioningModel") == "SPOT"
    if is_spot and scheduling.get("automaticRestart", False):
        raise invalid_field(f"{field}.automaticRestart", True, "Spot VMs cannot restart automatically.")
    if is_spot and scheduling.get("onHostMaintenance", "TERMINATE") != "TERMINATE":
        raise invalid_field(f"{field}.onHostMaintenance", "MIGRATE", "Spot VMs must terminate on host maintenance.")
    seconds = scheduling.get("maxRunDuration", {}).get("seconds")
    if seconds is not None and not 30 <= int(seconds) <= 120 * 86_400:
        raise invalid_field(f"{field}.maxRunDuration", seconds, "It must be between 30 seconds and 120 days.")
    action = scheduling.get("instanceTerminationAction")
    if action and not is_spot and seconds is None:
        raise invalid_field(f"{field}.instanceTerminationAction", action, "It needs Spot or a maximum run duration.")
    if seconds is not None and not action:
        raise invalid_field(f"{field}.instanceTerminationAction", "", "It is required with a maximum run duration.")


def check_features(machine: Machine, instance: Json) -> None:
    """What Axion does not have."""
    if machine.is_arm and instance.get("advancedMachineFeatures", {}).get("enableNestedVirtualization"):
        raise ApiError(400, "badRequest", f"Nested virtualization is not supported for machine type {machine.name}.")
