"""How many tokens a request took, in the engine's own words where it says so: `usage` of an answer or of its events."""

import json
import re
from dataclasses import dataclass
from typing import Any

from gateway.sse import EventStream

BYTES_A_TOKEN = 4
"""Of a prompt whose tokens nobody told: English has about four, JSON and pictures more."""
_TOLD = re.compile(rb'"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')
TAIL_BYTES = 4096
PARSED_BYTES = 256 * 1024
"""What is larger is not: a batch of embeddings takes seconds."""


@dataclass(slots=True)
class Tokens:
    """What is known of one request. Each count only grows: an engine may tell the same one in several events."""

    prompt: int = 0
    completion: int = 0
    is_told: bool = False
    _tail: bytes = b""

    def see_answer(self, body: bytes) -> None:
        """Look into a whole answer."""
        if len(body) > PARSED_BYTES:
            self.see_part(body)
        elif b'"usage"' in body:
            self._see(_parsed(body))

    def see_events(self, events: bytes) -> None:
        """Look into whole events of a stream. Nearly none has the word, so nearly none is parsed."""
        if b'"usage"' not in events:
            return
        for line in events.splitlines():
            if line.startswith(b"data:") and b'"usage"' in line:
                event = _parsed(line[len(b"data:") :])
                for holder in (event, _in(event, "response"), _in(event, "message")):
                    self._see(holder)

    def see_part(self, part: bytes) -> None:
        """Look into a part of an answer that is too large to be read. A quote in a text of JSON is escaped: what is
        found is no text's. It may stand before the end: the logprobs of a prompt come after it."""
        window = self._tail + part
        for found in _TOLD.findall(window):
            self._see({"usage": _parsed(found)})
        self._tail = window[-TAIL_BYTES:]

    def _see(self, holder: Any) -> None:
        usage = _in(holder, "usage")
        if not isinstance(usage, dict):
            return
        prompt, completion = (_count(usage, *names) for names in PROMPT_AND_COMPLETION)
        if prompt is not None or completion is not None:
            self.prompt = max(self.prompt, prompt or 0)
            self.completion = max(self.completion, completion or 0)
            self.is_told = True


PROMPT_AND_COMPLETION = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
"""As OpenAI's older routes call them, and as its newer ones and Anthropic's."""


def estimate(events: EventStream | None, *, body_bytes: int, longest: int | None) -> tuple[int, int]:
    """Return what a request took whose engine never said: an event counts as a token, four bytes of its body as one.

    No prompt is longer than the engine's context, whatever pictures it has.
    """
    prompt = -(-body_bytes // BYTES_A_TOKEN)
    completion = 0 if events is None else max(0, events.events - events.said_end)
    return (min(prompt, longest) if longest else prompt), completion


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _in(holder: Any, key: str) -> Any:
    return holder.get(key) if isinstance(holder, dict) else None


def _count(usage: dict[str, Any], *names: str) -> int | None:
    found = [usage[name] for name in names if type(usage.get(name)) is int and usage[name] >= 0]
    return max(found, default=None)
