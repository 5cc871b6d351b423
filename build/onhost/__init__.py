"""Scripts that run on a host as `python3 - JSON`: standard library only, one JSON document or JSON lines out."""

from pathlib import Path


def script(name: str) -> bytes:
    """Return the source of a script here, to be fed to an interpreter on the host."""
    return Path(__file__).with_name(name).read_bytes()
