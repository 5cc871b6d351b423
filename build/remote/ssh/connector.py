"""Connect to a host that may still be booting: try, look again whether it runs, wait; bounded, and shown."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from build.errors import DeployError
from build.progress import Reporter
from build.remote.ssh.connection import HostConnection, NotAllowed, NotYet, Route, connect

# A machine of Google's boots in half a minute, and runs its startup script for another.
BOOT_PATIENCE_S = 300.0
# An SSH server that restarts, or a small machine that does.
RESTART_PATIENCE_S = 10.0
PAUSE_S, PAUSE_MAX_S = 0.5, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """How to find a host, and for how long it may take."""

    name: str
    route: Callable[[], Route]
    """Raises DeployError where waiting does not help, NotYet where it may."""
    patience_s: float = RESTART_PATIENCE_S

    def connect(self, reporter: Reporter, *, pause: Callable[[float], None] = time.sleep) -> HostConnection:
        """Return an open connection. Raises DeployError with the last reason."""
        try:
            return self._try()
        except NotYet as error:
            reason = error
        with reporter.phase(f"Wait for {self.name}") as phase:
            deadline, pause_s = time.monotonic() + self.patience_s, PAUSE_S
            while time.monotonic() < deadline:
                phase.part(self.name, _short(reason))
                pause(pause_s)
                pause_s = min(pause_s * 1.5, PAUSE_MAX_S)
                try:
                    return self._try()
                except NotYet as error:
                    reason = error
        raise DeployError(f"{reason} (For {self.patience_s:g} s.)") from None

    def _try(self) -> HostConnection:
        route = self.route()
        try:
            return connect(route)
        except NotAllowed as error:
            if route.is_fresh:
                raise NotYet(*error.problems) from None
            raise


def _short(reason: DeployError) -> str:
    """What is still missing, without what to do about it if it stays so."""
    return str(reason).partition(": ")[2].partition(". ")[0]
