"""Machines with local SSDs: what they would cost for nothing.

They are not used. A local SSD comes back empty after every stop, so that weights have to lie on the data disk as well,
and an engine reads them once, at its start: the six of a c4a-standard-32-lssd would save about a minute of that, for
ten times what the data disk of the prod example costs.
"""

from deployment.stack.catalog import Catalog, Shape
from deployment.stack.pricing import HOURS_PER_MONTH, machine_hourly_usd
from deployment.stack.settings import HostSettings


def unused_disks(host: HostSettings, shape: Shape, region: str, catalog: Catalog) -> str | None:
    """Say what a machine's local disks are paid for and not used; None for one that has none."""
    if not shape.local_ssd_disks:
        return None
    without = catalog.shape(shape.machine_type.removesuffix("-lssd"))
    assert without is not None, "every machine with local disks has a sibling without"
    with_usd, without_usd = (
        machine_hourly_usd(each, region, "spot" if host.spot else "on_demand", catalog) for each in (shape, without)
    )
    cost = ""
    if with_usd is not None and without_usd is not None:
        cost = f" ({(with_usd - without_usd) * HOURS_PER_MONTH:.0f} USD a month)"
    disks = f"{shape.local_ssd_disks} local disks" if shape.local_ssd_disks > 1 else "local disk"
    return f"its {disks}{cost} would not be used, got {shape.machine_type}. Take {without.machine_type}."
