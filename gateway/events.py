"""The gateway's log: one event a line, as key=value pairs that people and machines read alike, or as JSON."""

import asyncio
import json
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TextIO

LOGGER = logging.getLogger("gateway")
_BARE = re.compile(r"[A-Za-z0-9._:/@,+-]+")


def event_line(name: str, **fields: object) -> str:
    """Return one line. Absent values are left out; all but plain characters are quoted, so no line can be forged."""
    pairs = (f"{key}={_value(value)}" for key, value in fields.items() if value is not None)
    return " ".join((f"event={name}", *pairs))


@dataclass(frozen=True, slots=True)
class Event:
    """What a record of the log is about; how it is written, the handler decides."""

    name: str
    fields: Mapping[str, object]

    def __str__(self) -> str:
        return event_line(self.name, **self.fields)


def log_event(name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one event."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, "%s", Event(name, fields))


def log_failure(name: str, **fields: object) -> None:
    """Write one event with the traceback of the exception being handled: a bug of ours."""
    LOGGER.exception("%s", Event(name, fields))


class Lines(logging.Formatter):
    """Writes records as text until it is told to write JSON."""

    def __init__(self) -> None:
        super().__init__("time=%(asctime)s.%(msecs)03d level=%(levelname)s %(message)s", "%FT%T")
        self.is_json = False
        self._second, self._written = -1, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """Return the time to the second, which is made once a second."""
        if (second := int(record.created)) != self._second:
            self._second, self._written = second, super().formatTime(record, datefmt)
        return self._written

    def format(self, record: logging.LogRecord) -> str:
        """Return a line; as JSON a traceback is in it too."""
        if not self.is_json:
            return super().format(record)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        event = next((each for each in record.args or () if isinstance(each, Event)), None)
        said = (
            {"event": event.name, **event.fields} if event else {"event": record.name, "message": record.getMessage()}
        )
        trace = {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}
        known = {key: value for key, value in (said | trace).items() if value is not None}
        return json.dumps({"time": at, "level": record.levelname, **known}, default=str)


class TurnHandler(logging.StreamHandler[TextIO]):
    """Writes what a turn of the event loop has logged at once: to write a line costs as much as to make it.

    Errors are not held back, nor is what is logged without a loop.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        try:
            self._lines.append(self.format(record) + self.terminator)
            if record.levelno >= logging.ERROR:
                self.flush()
            elif len(self._lines) == 1:
                asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:  # no loop runs here
            self.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write what was held back. Python's own end calls it too."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("".join(lines))
                self.stream.flush()
        finally:
            self.release()


LINES = Lines()


def write_log_as(log_format: Literal["text", "json"]) -> None:
    """Choose how this process writes from now on."""
    LINES.is_json = log_format == "json"


def log_to_stderr(level: str) -> None:
    """Send the log of this process to its standard error."""
    handler = TurnHandler(sys.stderr)
    handler.setFormatter(LINES)
    # It logs a traceback for every malformed request; failures of handlers never get that far.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    # What no line shows is not looked up (logging's documentation, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)
