"""The agent's archive as a file, for tests that start it as a host does; or with a constant that waits less."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build.remote.agent import archive

Edits = Mapping[str, tuple[str, str]]
"""Of a module's text, by its file name: what is replaced, and by what."""


def edited(edits: Edits) -> bytes:
    """Return the archive with changed sources. Each edit changes something."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive())) as ours, zipfile.ZipFile(packed, "w") as theirs:
        for name in ours.namelist():
            text = ours.read(name).decode()
            for module, (old, new) in edits.items():
                if name == f"agent/{module}":
                    assert old in text, f"{name}: no {old!r}"
                    text = text.replace(old, new)
            theirs.writestr(name, text)
    return packed.getvalue()


def agent_file(folder: Path, edits: Edits | None = None) -> Path:
    """Write the archive into a folder."""
    path = folder / "test-agent.pyz"
    path.write_bytes(edited(edits) if edits else archive())
    return path


def run_agent(file: Path, *words: str, python: str = sys.executable, **more: Any) -> Any:
    """Start it with a verb and its arguments, and wait for its end."""
    settings: dict[str, Any] = {"capture_output": True, "timeout": 60, "check": False, **more}
    return subprocess.run((python, "-I", str(file), *words), **settings)  # noqa: PLW1510 - it is among the settings
