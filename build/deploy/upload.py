"""Put a release on a host, complete or not at all; switch to it in one step; forget old ones.

What is done there: agent/releases.py.
"""

from collections.abc import Iterable, Sequence

from agent.protocol import ClearOrder, ReleaseFiles, ReleaseOrder
from build.remote.command import Command
from build.remote.target import Target
from deployment.render.release import RenderedFile

KEPT_RELEASES = 5


def upload_command(target: Target, name: str, files: Iterable[RenderedFile], build: str) -> Command:
    """Bring a release under its name: a release that has its name is whole, and on the disk."""
    # On a host of its own engines are not root and read what root put there; here everything is this user's alone.
    is_shared = target.runner == "systemd"
    order = ReleaseOrder(do="receive", root=target.root, name=name, build=build, is_shared=is_shared)
    return _command(target, order, "upload the release", stdin=packed(files))


def switch_command(target: Target, name: str) -> Command:
    """Point `current` at a release; readers see the old one or the new one, never none."""
    return _command(target, ReleaseOrder(do="switch", root=target.root, name=name), f"switch to {name}")


def confirm_command(target: Target, name: str) -> Command:
    """Remember that every model of a release answered, now and for a later rollback."""
    return _command(target, ReleaseOrder(do="confirm", root=target.root, name=name), "remember that it answered")


def stale_releases(ordered: Sequence[str], keep: Sequence[str | None]) -> list[str]:
    """Name the releases to forget, of all from the oldest on: all but the newest ones and those in use."""
    return [name for name in ordered[:-KEPT_RELEASES] if name not in keep]


def stale_builds(builds: Iterable[str], used: Iterable[str | None]) -> list[str]:
    """Name the engine environments that no remaining release links to."""
    return sorted(set(builds) - set(used))


def remove_commands(target: Target, kind: str, names: Sequence[str]) -> list[Command]:
    """Delete releases or builds by name."""
    paths = [f"{target.root}/{kind}/{name}" for name in names]
    order = ClearOrder(tuple(paths)).to_json()
    return [target.agent.command("clear", order, what=f"prune old {kind}", timeout_s=300)] if paths else []


def packed(files: Iterable[RenderedFile]) -> bytes:
    """Put files into one document, byte for byte the same for the same files."""
    return ReleaseFiles({file.path: file.text for file in sorted(files, key=lambda file: file.path)}).to_json().encode()


def _command(target: Target, order: ReleaseOrder, what: str, *, stdin: bytes | None = None) -> Command:
    return target.agent.command("releases", order.to_json(), what=what, stdin=stdin, timeout_s=300)
