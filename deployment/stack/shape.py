"""One machine type, taken apart."""

import re

from deployment.frozen import Frozen

MACHINE_TYPE = re.compile(
    r"(?P<series>[a-z]\w*)-(?P<kind>[a-z]+)-(?P<vcpus>[1-9]\d*)(?:-(?P<memory_mib>\d+)(?P<ext>-ext)?)?"
    r"(?:-(?P<feature>lssd|metal))?"
)
LOCAL_SSD_GIB = 375
CUSTOM, METAL = "custom", "metal"
# A c4a-standard-32 was reported to show its operating system 125 of 128 GiB; the rest is the firmware's and kernel's.
VISIBLE_MEMORY = 125 / 128


class Shape(Frozen):
    """What a machine has, and what follows for its card and its maintenance."""

    machine_type: str
    series: str
    kind: str
    feature: str | None = None
    """lssd, metal or none."""
    vcpus: int
    memory_gib: float
    local_ssd_disks: int = 0
    egress_gbps: int | None = None
    is_assumed: bool = False
    """Taken from the name alone: nobody read it in a list of Google's."""

    @property
    def visible_memory_bytes(self) -> int:
        """What the operating system can give away."""
        return int(self.memory_gib * VISIBLE_MEMORY * 2**30)

    @property
    def is_metal(self) -> bool:
        """Whether it is a whole server without a hypervisor."""
        return self.feature == METAL

    @property
    def nic_type(self) -> str:
        """The only network card that it has (Google: "General-purpose machine family", C4A and N4A, network)."""
        return "IDPF" if self.is_metal else "GVNIC"

    @property
    def live_migrates(self) -> bool:
        """Whether maintenance of the host leaves it running; bare metal terminates (same page, maintenance)."""
        return not self.is_metal
