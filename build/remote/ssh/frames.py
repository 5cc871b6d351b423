"""Tell what our own program says from whatever else comes through the same channel (agent/guard.py)."""

import re
from collections.abc import Callable
from dataclasses import dataclass

HEADER_BYTES_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a stream: `shell` and `root` are announcements, `out`, `err` and `end` the command's, else noise."""

    word: str
    data: bytes = b""
    status: int = 0


class Frames:
    """Takes a stream apart as it comes, in pieces of any size."""

    def __init__(self, tag: str) -> None:
        self._header = re.compile(rb"%s (shell|root|out|err|end)(?: (\d{1,9}))?\n" % tag.encode())
        self.rest = b""
        """What is not known to be noise yet."""

    def feed(self, chunk: bytes) -> list[Part]:
        """Return what is complete now."""
        parts, stream, at = [], self.rest + chunk, 0
        while found := self._header.search(stream, at):
            word, count = found[1].decode(), int(found[2] or 0)
            after = found.end() + (count if word in ("out", "err") else 0)
            if after > len(stream):
                break
            if found.start() > at:
                parts.append(Part(word="noise", data=stream[at : found.start()]))
            parts.append(Part(word=word, data=stream[found.end() : after], status=count if word == "end" else 0))
            at = after
        keep = found.start() if found else max(at, len(stream) - HEADER_BYTES_MAX)
        if keep > at:
            parts.append(Part(word="noise", data=stream[at:keep]))
        self.rest = stream[keep:]
        return parts

    def close(self) -> list[Part]:
        """Return what is left at the stream's end."""
        rest, self.rest = self.rest, b""
        return [Part(word="noise", data=rest)] if rest else []


class Lines:
    """Passes on each line as it comes, with its end; the last one may have none."""

    def __init__(self, keep: Callable[[str], None]) -> None:
        self._keep, self._rest = keep, b""

    def feed(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._keep(line.decode("utf-8", "replace") + "\n")

    def close(self) -> None:
        if self._rest:
            self._keep(self._rest.decode("utf-8", "replace"))
        self._rest = b""
