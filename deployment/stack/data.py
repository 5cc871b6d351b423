"""What of a stack holds data, by name: Pulumi may delete it only when the stack's file names it."""

import re
from collections.abc import Iterator

from deployment.problems import joined, shown
from deployment.stack.settings import StackSettings

Finding = tuple[tuple[str | int, ...], str]
"""Where in the stack's configuration, and what is wrong."""


def disk_name(stack: str, host: str) -> str:
    """Name a host's data disk."""
    return f"axion-{stack}-data-{host}"


def data_names(stack: str, settings: StackSettings) -> tuple[str, ...]:
    """Every data disk, and the bucket where there is one."""
    bucket = (f"axion-{stack}-{settings.project}",) if settings.bucket else ()
    return (*(disk_name(stack, host) for host in settings.hosts), *bucket)


def data_problems(stack: str, settings: StackSettings) -> Iterator[Finding]:
    """Find names that name nothing, and zones that a data disk could never be in."""
    known, bucket = data_names(stack, settings), f"axion-{stack}-{settings.project}"
    for index, name in enumerate(settings.delete_data):
        # A host that was taken out of the file, or a bucket, may still be there.
        if not re.fullmatch(rf"axion-{re.escape(stack)}-data-[a-z][a-z0-9]*", name) and name != bucket:
            yield ("axion:deleteData", index), f"names no data of this stack, got {shown(name)}. Use {joined(known)}."
    for name, host in settings.hosts.items():
        at = ("axion:hosts", name)
        for index, zone in enumerate(host.zones):
            if zone.rpartition("-")[0] != settings.region:
                what = f"outside {settings.region}, where the subnet is, got {shown(zone)}. Give zones of one region."
                yield (*at, "zones", index), what
        if len(set(host.zones)) < len(host.zones):
            yield (*at, "zones"), f"a zone twice, got {joined(host.zones)}. Keep one of each."
        if host.zone and host.zones and host.zone not in host.zones:
            what = (
                f"not one of zones, got {host.zone} and {joined(host.zones)}. Add it there, or delete one of the two."
            )
            yield (*at, "zone"), what


def data_warnings(stack: str, settings: StackSettings) -> Iterator[str]:
    """Say what is not protected."""
    named = [name for name in data_names(stack, settings) if name in settings.delete_data]
    if named:
        gone = "may be deleted with all that is on it, by `pulumi destroy` and by any change that replaces it"
        yield f"{joined(named)} {gone}"
    for name in settings.delete_data:
        if name not in data_names(stack, settings):
            yield f"{name} is of no host in this file, got it named. `fab up` lets it go where it is still there"
