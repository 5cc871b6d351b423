"""How long a hub is asked that never answered: a network that says no is believed soon, silence a while later."""

import time
from collections.abc import Callable

from agent.files import UnreachableError

NO_S, SILENCE_S = 15.0, 60.0
"""From the first failure on; the last try may take CONNECT_S or READ_S more."""
CONNECT_S, READ_S = 10.0, 30.0
Tell = Callable[[str], None]


class Patience:
    """Waits for the first answer of a hub. What has answered once is asked again for as long as anything may pass."""

    def __init__(
        self, endpoint: str, tell: Tell, *, no_s: float = NO_S, silence_s: float = SILENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._endpoint, self.tell, self._no_s, self._silence_s, self._clock = endpoint, tell, no_s, silence_s, clock
        self._began: float | None = None
        self._is_reached = False
        self._over: UnreachableError | None = None

    def begin(self) -> None:
        """To be called before each try. Raises UnreachableError where the hub was given up on."""
        if self._over is not None:
            raise self._over
        if not self._is_reached and self._began is None:
            self._began = self._clock()
            self.tell(f"asking {self._endpoint}")

    def heard(self) -> None:
        self._is_reached = True

    def failed(self, got: str, *, is_silent: bool) -> None:
        """Raises UnreachableError when it has been long enough without any answer."""
        if self._is_reached or self._began is None:
            return
        bound_s, elapsed_s = self._silence_s if is_silent else self._no_s, self._clock() - self._began
        if elapsed_s >= bound_s:
            self._over = UnreachableError(
                f"models: cannot reach {self._endpoint} for {elapsed_s:.0f} s: {got}. Let this host reach it, "
                "name a mirror (HF_ENDPOINT), or bring the files by hand (--source)."
            )
            raise self._over
        self.tell(f"{self._endpoint} does not answer: {got}; it is asked for {bound_s:g} s")


def reason(error: Exception, *, is_silent: bool) -> str:
    """Say what a network said; a timeout of httpx says less than its name."""
    if is_silent:
        return "no connection" if type(error).__name__.startswith("Connect") else "silence"
    return str(error).rstrip(".") or type(error).__name__
