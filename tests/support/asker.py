"""A client that never stops asking: what a change of a deployment looks like to the people it serves."""

import threading

from tests.support.local_deployment import LocalDeployment


class Asker:
    """Asks some models all the time, and remembers every answer that was not one."""

    def __init__(self, host: LocalDeployment, *names: str) -> None:
        self.asked = 0
        self.failures: list[tuple[str, int, str]] = []
        self._host, self._names = host, names
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._is_over.wait(0.05):
            for name in self._names:
                status, text = self._host.ask(name)
                self.asked += 1
                if status != 200:
                    self.failures.append((name, status, text))

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(15)
