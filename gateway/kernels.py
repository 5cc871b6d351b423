"""What an engine says of its kernels, in a file beside its socket (kernels/python/axion_kernels/report.py)."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LARGEST_BYTES = 1 << 16


def kernels_of(socket: Path) -> Mapping[str, Any] | None:
    """Read it; None where an engine has none of our kernels, or has not come so far."""
    try:
        opened = os.open(socket.with_suffix(".kernels"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(opened, "rb") as file:
            told = json.loads(file.read(LARGEST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
