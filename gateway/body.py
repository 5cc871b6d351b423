"""What the gateway reads at the top level of a request body, and what it may change there.

Whether all of a body is JSON is the engine's business, which parses it anyway and answers 400. What is decided here
agrees with what its parser will see.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.errors import ApiError, bad_request, shown
from gateway.json_members import Member, Members, NotAnObjectError, Scan, edited, finished, scan

SMALL_BYTES = 32 * 1024
"""Parsed as a whole: that is faster than a scan in Python, and below 2 ms whatever is in it."""
SLICE_S = 0.005
"""How long a scan may keep the event loop at a time."""
MAX_VALUE_BYTES = 4096
"""Of a member that is read: names and numbers."""

DECIDING = frozenset({"model", "stream"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The two keys that decide where a request goes and how its answer comes back."""

    model: str | None
    stream: bool


class Turns:
    """Lets one long scan at a time have its slices of the event loop: many at once would add up to a stall."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def drive(self, steps: Scan) -> Members:
        """Run a scan to its end, letting others run between two slices."""
        async with self._lock:
            while True:
                until = time.perf_counter() + SLICE_S
                try:
                    while time.perf_counter() < until:
                        next(steps)
                except StopIteration as done:
                    members: Members = done.value
                    return members
                await asyncio.sleep(0)


async def read_asked(raw: bytes, turns: Turns) -> Asked:
    """Read what decides about a request. Raises ApiError for what is not a JSON object with a usable model."""
    values = await read_members(raw, DECIDING, turns)
    model = values.get("model")
    if model is not None and not isinstance(model, str):
        raise _model_not_a_string(model)
    return Asked(model=model, stream=values.get("stream") is True)


async def read_members(raw: bytes, names: frozenset[str], turns: Turns) -> Mapping[str, object]:
    """Return the values of some members of the top level, if not of all: strings, numbers, true, false, null.

    Of a key that stands there twice the last one counts, as it does for the engine.
    """
    if len(raw) <= SMALL_BYTES:
        return _parsed(raw)
    members = await _scanned(raw, names, turns)
    last = {member.name: member for member in members.found}
    return {name: _value(raw, member) for name, member in last.items()}


async def with_members(raw: bytes, turns: Turns, *, put: Mapping[str, object], remove: Iterable[str] = ()) -> bytes:
    """Return the body with some members of the top level set and others removed, and every other byte as it was.

    A key that stands there twice is changed twice: which of the two counts is the reader's choice. The body must have
    passed read_members.
    """
    texts = {name: json.dumps(value) for name, value in put.items()}
    removed = frozenset(remove)
    members = await _scanned(raw, removed | texts.keys(), turns)
    return edited(raw, members, put=texts, remove=removed)


async def _scanned(raw: bytes, names: frozenset[str], turns: Turns) -> Members:
    steps = scan(raw, names)
    try:
        return finished(steps) if len(raw) <= SMALL_BYTES else await turns.drive(steps)
    except NotAnObjectError as error:
        raise bad_request(f"The request body is no JSON object: {error}. Correct it.") from error


def _parsed(raw: bytes) -> Mapping[str, object]:
    """Return all of a small body, parsed as the engine will parse it."""
    try:
        body = json.loads(raw.decode(errors="surrogatepass"))
    except UnicodeDecodeError as error:
        raise bad_request("The request body is not UTF-8. Send JSON in UTF-8.") from error
    except RecursionError as error:
        raise bad_request("The request body is nested too deeply. Send flatter JSON.") from error
    except ValueError as error:  # also a number of thousands of digits, which is no JSONDecodeError
        raise bad_request(f"The request body is not JSON: {str(error)[:120]}. Correct it.") from error
    if not isinstance(body, dict):
        raise bad_request(f"The request body must be a JSON object, got {type(body).__name__}. Send an object.")
    return body


def _value(raw: bytes, member: Member) -> object:
    if member.end - member.value > MAX_VALUE_BYTES:
        raise bad_request(f"{member.name!r} is longer than {MAX_VALUE_BYTES} bytes. Send less.", param=member.name)
    try:
        return json.loads(raw[member.value : member.end].decode(errors="surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The value of {member.name!r} is not JSON. Correct it.", param=member.name) from error


def _model_not_a_string(model: object) -> ApiError:
    return bad_request(f"'model' must be a string, got {shown(model)}. Send a model's name.", param="model")
