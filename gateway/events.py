"""The gateway's log: one event a line, as key=value pairs that people and machines read alike."""

import json
import logging
import re
import sys

LOGGER = logging.getLogger("gateway")
_BARE = re.compile(r"[A-Za-z0-9._:/@,+-]+")


def event_line(name: str, **fields: object) -> str:
    """Return one line. Absent values are left out; all but plain characters are quoted, so no line can be forged."""
    pairs = (f"{key}={_value(value)}" for key, value in fields.items() if value is not None)
    return " ".join((f"event={name}", *pairs))


def log_event(name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one event."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, "%s", event_line(name, **fields))


def log_failure(name: str, **fields: object) -> None:
    """Write one event with the traceback of the exception being handled: a bug of ours."""
    LOGGER.exception("%s", event_line(name, **fields))


def log_to_stderr(level: str) -> None:
    """Send the log of this process to its standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("time=%(asctime)s.%(msecs)03d level=%(levelname)s %(message)s", "%FT%T"))
    # It logs a traceback for every malformed request; failures of handlers never get that far.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)
