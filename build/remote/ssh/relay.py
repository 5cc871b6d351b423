"""A program whose standard input and output are the way to a host, as the socket that paramiko wants.

Paramiko's own ProxyCommand reads an ended program's output in a busy loop and forgets what it said on stderr, which is
where gcloud explains why there is no tunnel.
"""

import contextlib
import os
import select
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence

from build.remote.command import not_started

SAID_LINES_MAX = 20
END_TIMEOUT_S = 2.0


class Relay:
    """Starts the program. Raises DeployError when there is none."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        try:
            self._process = subprocess.Popen(
                argv,
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # an interrupt at the terminal is for the task, which closes this in order
            )
        except OSError as error:
            raise not_started("connect", argv[0], error) from None
        assert self._process.stdin and self._process.stdout and self._process.stderr, "all three are pipes"
        self._in, self._out, self._err = self._process.stdin, self._process.stdout, self._process.stderr
        self._timeout_s: float | None = None
        self._said: deque[str] = deque(maxlen=SAID_LINES_MAX)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for raw in self._err:
            self._said.append(raw.decode("utf-8", "replace").rstrip())

    def said(self, wait_s: float = 1.0) -> str:
        """What the program wrote on stderr; waits a moment for one that is just ending, and for all of one that has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_s)
        self._listener.join(END_TIMEOUT_S if self.closed else 0)
        return "\n".join(self._said)

    def send(self, data: bytes) -> int:
        """Pass bytes on; how many were taken."""
        return self._in.write(data) or 0

    def recv(self, size: int) -> bytes:
        """Return what came, at most `size` bytes; nothing when the program's output ended. TimeoutError if none."""
        if not select.select([self._out], [], [], self._timeout_s)[0]:
            raise TimeoutError
        return os.read(self._out.fileno(), size)

    def settimeout(self, timeout_s: float | None) -> None:
        """Bound each recv."""
        self._timeout_s = timeout_s

    @property
    def closed(self) -> bool:
        return self._process.poll() is not None

    @property
    def _closed(self) -> bool:
        return self.closed

    def close(self) -> None:
        """End the program. Idempotent; leaves no zombie."""
        with contextlib.suppress(OSError):
            self._in.close()
        self._process.terminate()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_TIMEOUT_S)
