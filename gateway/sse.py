"""Server-sent events as bytes: where one ends, how a stream ended, and how to say that it broke."""

import itertools
import json
import re
from functools import cache

from gateway.errors import ApiError

WHOLE_EVENT_BYTES = 256 * 1024
"""An event longer than this is passed on in parts: memory stays bounded, whatever an engine sends."""

_BLANK_LINES = (b"\n\n", b"\n\r\n", b"\r\r")
_ERRORS = (b'data: {"error"', b"event: error")


class EventStream:
    """Follows one stream on its way to the client.

    Whole events pass at once, as the very bytes that arrived. The beginning of an event whose end has not
    arrived is kept back: no client can act on it yet, and if the engine dies there, a client that parses
    each event as JSON would choke on the torso before it could see the error behind it.
    """

    content_type: str | None = None
    """Of what it returns, where that is another than the engine's."""

    def __init__(self, endings: tuple[bytes, ...] = ()) -> None:
        self.has_ending = bool(endings)
        self.refused: tuple[int, bytes] | None = None
        """The status and the body that the first event stands for, where that is an error."""
        self.heard = b""
        """The engine's own words for what was returned last."""
        self._has_begun = False
        self.events = 0
        self.said_end = False
        self.said_error = False
        self._begun = b""
        self.is_mid_event = False
        """The client has the beginning of an event and not its end: nothing else may come between."""
        self._tail = b"\n"
        self._marks = _marks(endings)
        self._overlap = max(map(len, (*endings, *_ERRORS)))

    def feed(self, piece: bytes) -> bytes:
        """Take what arrived, return what may go to the client."""
        self.heard = ready = self._whole_events(piece)
        if not ready:
            return b""
        if not self._has_begun:
            self._has_begun, self.refused = True, refusal_in(ready)
        return ready if self.refused else self.told(ready)

    def told(self, ready: bytes) -> bytes:
        """Return whole events as the client is told of them: here as they are."""
        return ready

    def _whole_events(self, piece: bytes) -> bytes:
        self._look_for_endings(piece)
        data = self._begun + piece if self._begun else piece
        end = _after_last_event(data)
        if not end and len(data) < WHOLE_EVENT_BYTES:
            self._begun = data
            return b""
        if not end or (len(data) - end) >= WHOLE_EVENT_BYTES:
            self._begun, self.is_mid_event = b"", True
            self.events += _count(data)
            return data
        self._begun, self.is_mid_event = data[end:], False
        self.events += _count(data[:end])
        return data if end == len(data) else data[:end]

    def rest(self) -> bytes:
        """Return what is still kept back when a stream ended in good order."""
        begun, self._begun = self._begun, b""
        return begun

    def interruption(self, error: ApiError) -> bytes:
        """Return the bytes that end a broken stream: an error event, and never a [DONE] that would claim success."""
        self._begun = b""
        return (b"\n\n" if self.is_mid_event else b"") + self.error_event(error)

    def error_event(self, error: ApiError) -> bytes:
        """Return an error in the shape that the clients of this kind of stream look for: here OpenAI's."""
        return event(error.envelope())

    def _look_for_endings(self, piece: bytes) -> None:
        # No marker can occur inside a JSON string, where line ends are escaped.
        window = self._tail + piece
        for found in self._marks.finditer(window):
            if found.lastgroup == "end":
                self.said_end = True
            else:
                self.said_error = True
        self._tail = window[-self._overlap :]


@cache
def _marks(endings: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Return what finds the lines that say how a stream ends."""
    ends, errors = (b"|".join(map(re.escape, lines)) for lines in (endings, _ERRORS))
    return re.compile(rb"\n(?:(?P<error>%b)|(?P<end>%b))" % (errors, ends or b"(?!)"))


def refusal_in(ready: bytes) -> tuple[int, bytes] | None:
    """Return the status and the body that a stream's first event stands for, where that is an error.

    vLLM finds some mistakes only after it has begun a stream, and so after its own 200.
    """
    if not ready.startswith(_ERRORS):
        return None
    body = data_of_first(ready)
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        code = None
    return (code if isinstance(code, int) and 400 <= code < 600 else 500), body


def data_of_first(ready: bytes) -> bytes:
    """Return the data of the first event."""
    lines = itertools.takewhile(bool, ready.splitlines())
    return b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))


def event(data: bytes, *, name: str | None = None) -> bytes:
    """Return one event. Its data is JSON on one line."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + data + b"\n\n"


def _after_last_event(data: bytes) -> int:
    """Return the position behind the last blank line, 0 if there is none."""
    if data.endswith(b"\n\n"):
        return len(data)
    return max((at + len(blank) for blank in _BLANK_LINES if (at := data.rfind(blank)) >= 0), default=0)


def _count(data: bytes) -> int:
    return data.count(b"\n\n") + data.count(b"\n\r\n")
