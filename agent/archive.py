"""Keep the archive that this program runs from on the host: what runs later needs nobody to bring it."""

import hashlib
import os
import sys
import zipfile
from pathlib import Path

from agent.durable import replace_file

KEPT = 3
"""Work that an older checkout began may still be under way."""


def keep(root: Path) -> Path:
    """Put the archive in its place, once, and forget those that were not used for longest. Returns its place."""
    own = Path(sys.argv[0])
    folder = root / "agent"
    if own.parent == folder or not zipfile.is_zipfile(own):  # there already; or a test runs the sources
        return own
    content = own.read_bytes()
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.pyz"
    if not path.exists():
        folder.mkdir(mode=0o700, exist_ok=True)  # who serves needs nothing of it
        replace_file(path, content)
    os.utime(path)
    others = sorted(folder.glob("*.pyz"), key=lambda each: each.stat().st_mtime_ns, reverse=True)
    for old in others[KEPT:]:
        old.unlink(missing_ok=True)
    return path
