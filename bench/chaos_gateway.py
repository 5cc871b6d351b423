"""The gateway, which on SIGUSR1 writes its tasks, its descriptors, and how late its loop was, into a file.

python -m bench.chaos_gateway FILE WORDS-OF-THE-GATEWAY
"""

import asyncio
import signal
import sys
from pathlib import Path

from gateway.__main__ import main

TICK_S = 0.02


class Watch:
    """Looks at a loop from within."""

    def __init__(self, loop: asyncio.AbstractEventLoop, file: Path) -> None:
        self._loop, self._file = loop, file
        self._due = loop.time()
        self._late_ms: list[float] = []
        loop.add_signal_handler(signal.SIGUSR1, self._tell)
        self._tick()

    def _tick(self) -> None:
        self._late_ms.append((self._loop.time() - self._due) * 1e3)
        self._due = self._loop.time() + TICK_S
        self._loop.call_at(self._due, self._tick)

    def _tell(self) -> None:
        late = sorted(self._late_ms)[int(len(self._late_ms) * 0.99)]
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{len(asyncio.all_tasks())} {len(list(Path('/proc/self/fd').iterdir()))} {late}")
        draft.replace(self._file)


if __name__ == "__main__":
    ran, told = asyncio.Runner.run, Path(sys.argv[1])

    def run(self: asyncio.Runner, coroutine: object, **more: object) -> object:
        """Watch the loop as soon as there is one."""
        Watch(self.get_loop(), told)
        return ran(self, coroutine, **more)  # type: ignore[arg-type]

    asyncio.Runner.run = run  # type: ignore[method-assign,assignment]
    sys.exit(main(sys.argv[2:]))
