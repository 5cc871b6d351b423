"""What an engine says of its kernels, in a file beside its socket (kernels/python/axion_kernels/report.py)."""

import os
from pathlib import Path

from agent.message import MessageError
from agent.running import KernelsReport

LARGEST_BYTES = 1 << 16


def kernels_of(socket: Path) -> KernelsReport | None:
    """Read it; None where an engine has none of our kernels, or has not come so far."""
    try:
        opened = os.open(socket.with_suffix(".kernels"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(opened, "rb") as file:
            return KernelsReport.from_json(file.read(LARGEST_BYTES))
    except (OSError, MessageError):
        return None
