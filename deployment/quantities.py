"""Sizes for people: the same binary units that models.yaml is written in."""

KIB, MIB, GIB = 2**10, 2**20, 2**30


def shown_bytes(count: int) -> str:
    """A size in the largest unit that leaves it at least 1: `13.4 GiB`."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(count) >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
