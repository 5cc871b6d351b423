"""Reading and writing a whole JSON body where its top level does not suffice, in a time that no body can stretch."""

import json
from collections.abc import Mapping
from typing import Any

from gateway.errors import ApiError, bad_request

MAX_VALUES = 50_000
"""Of lists, objects and their members, each. Long texts and pictures are one value: they cost no time to speak of."""
MAX_DIGITS = 400
"""More than the largest float has; no parameter is larger."""


def is_bounded(raw: bytes) -> bool:
    """Whether parsing takes milliseconds only: values cost time, and each has one of these characters beside it."""
    return all(_occurs_within(raw, mark) for mark in (b"[", b"{", b","))


def _occurs_within(raw: bytes, mark: bytes) -> bool:
    position = -1
    for _ in range(MAX_VALUES):
        position = raw.find(mark, position + 1)
        if position < 0:
            return True
    return False


def _integer(digits: str) -> int:
    """Read a whole number. The time for one grows with the square of its length, here and wherever it is written."""
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def read_object(raw: bytes) -> dict[str, Any]:
    """Return a body's members. Raises ApiError."""
    if not is_bounded(raw):
        what = f"The request body holds more than {MAX_VALUES} values. Send less at once."
        raise ApiError(413, "request_too_large", what)
    try:
        body = json.loads(raw.removeprefix(b"\xef\xbb\xbf"), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The request body is not JSON: {str(error)[:120]}. Correct it.") from error
    if not isinstance(body, dict):
        raise bad_request(f"The request body must be a JSON object, got {type(body).__name__}. Send an object.")
    return body


def written(body: Mapping[str, Any]) -> bytes:
    """Return members that were read, and put together anew, as a body. Raises ApiError."""
    try:
        return json.dumps(body).encode()
    except RecursionError as error:  # what could just be read may now be a level deeper
        raise bad_request("The request body is nested too deeply. Send flatter JSON.") from error
