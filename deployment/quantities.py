"""Sizes for people, in the binary units that models.yaml is written in, and how long people may have to wait."""

KIB, MIB, GIB = 2**10, 2**20, 2**30

MAX_WAIT_S = 24 * 3600
READY_TIMEOUT_S = 1200.0
"""Of each model, from nothing to a first answer: they load one after another, unless a person says otherwise.

A 27B checkpoint takes minutes to read, and its first start compiles for one to four.
"""


def shown_bytes(count: int) -> str:
    """A size in the largest unit that leaves it at least 1: `13.4 GiB`."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(count) >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
