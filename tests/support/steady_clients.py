"""Clients that ask all the time while something happens to a host, and remember every answer that was not whole."""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

TIMEOUT_S = 60.0


class SteadyClients:
    """One thread each, one request after another; `failures` is what a user would have complained about."""

    def __init__(self, port: int, models: Sequence[str], *, tokens: int, pause_s: float = 0.0) -> None:
        self.port, self.tokens, self.pause_s = port, tokens, pause_s
        self.whole = 0
        self.failures: list[tuple[float, str]] = []
        self._began = time.monotonic()
        self._is_over = threading.Event()
        self._count = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_all_the_time, args=(model,)) for model in models]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_S)

    def _ask_all_the_time(self, model: str) -> None:
        while not self._is_over.is_set():
            problem = self.ask(model)
            with self._count:
                if problem is None:
                    self.whole += 1
                else:
                    self.failures.append((round(time.monotonic() - self._began, 1), f"{model}: {problem}"))
            if problem is not None or self.pause_s:
                time.sleep(self.pause_s or 0.2)

    def ask(self, model: str) -> str | None:
        """Ask for a stream; None when every event of it came, and its end."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "?"}],
            "stream": True,
            "max_tokens": self.tokens,
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        if response.status != 200:
            return f"{response.status}: {text[:200]}"
        events = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
        if not events or events[-1] != "[DONE]":
            return f"cut after {len(events)} events: {text[-200:]}"
        deltas = [json.loads(event)["choices"][0]["delta"]["content"] for event in events[:-1]]
        return None if deltas == ["", *[f"{model} "] * self.tokens] else f"not what was asked for: {deltas}"
