"""A launcher's mark that it was told to end its engine, for a gateway that would take the silence for a failure.

It is a file beside the engine's socket. It is never removed: the gateway compares it with what it saw when the engine
was last found ready, and only a younger one counts.
"""

from pathlib import Path

FileIdentity = tuple[int, int, int]


def path_of(engine_socket: Path) -> Path:
    """Say where the marker of an engine lies."""
    return engine_socket.with_suffix(".stopping")


def announce(engine_socket: Path) -> None:
    """Say that the engine ends because it was told to. A full disk must not keep it from ending."""
    path = path_of(engine_socket)
    try:
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return


def identity(path: Path) -> FileIdentity | None:
    """Tell one file from its successor on the same path."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_ctime_ns)


class EngineFiles:
    """What the files of one engine tell a gateway that cannot see its processes."""

    def __init__(self, engine_socket: Path) -> None:
        self._socket, self._marker = engine_socket, path_of(engine_socket)
        self._ready_socket: FileIdentity | None = None
        self._ready_marker: FileIdentity | None = None

    def saw_ready(self) -> None:
        """Remember the engine that answers now."""
        found = identity(self._socket)
        if found != self._ready_socket:
            self._ready_socket, self._ready_marker = found, identity(self._marker)

    @property
    def is_replaced(self) -> bool:
        """Whether the socket is one that no engine has been ready on yet: a new one is on its way."""
        found = identity(self._socket)
        return found is not None and found != self._ready_socket

    @property
    def is_told_to_end(self) -> bool:
        """Whether the engine that was ready last has been told to end since."""
        if self._ready_socket is None:
            return False
        found = identity(self._marker)
        return found is not None and found != self._ready_marker
