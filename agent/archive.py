"""Keep the archive that this program runs from on the host: what runs later needs nobody to bring it."""

import hashlib
import os
import sys
import zipfile
from pathlib import Path

from agent import ARCHIVE_DIGITS
from agent.durable import replace_file

KEPT = 3
"""A job that an older checkout began may still be under way."""


def keep(root: Path) -> Path:
    """Put the archive in its place, whole, and forget those that were not used for longest. Returns its place."""
    own = Path(sys.argv[0])
    if not zipfile.is_zipfile(own):  # a test runs the sources
        return own
    content, folder = own.read_bytes(), root / "agent"
    path = folder / f"{hashlib.sha256(content).hexdigest()[:ARCHIVE_DIGITS]}.pyz"
    if own != path:  # what runs from its place is whole: that is looked at before (build/remote/agent.py)
        folder.mkdir(mode=0o700, exist_ok=True)  # who serves needs nothing of it
        replace_file(path, content)
    os.utime(path)
    others = sorted(folder.glob("*.pyz"), key=lambda each: each.stat().st_mtime_ns, reverse=True)
    for old in others[KEPT:]:
        old.unlink(missing_ok=True)
    return path
