"""The one field of an uploaded form that decides where it goes. The rest is passed on as it came."""

import re
from collections.abc import Iterator

from gateway.errors import bad_request

FORM_ROUTES = ("/v1/audio/transcriptions", "/v1/audio/translations")
HEAD_BYTES = 4096
"""Of a part's own headers."""
MAX_PARTS = 1000
"""Engines take no more, and each costs time here."""
_BOUNDARY = re.compile(r'multipart/form-data;.*?boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_NAME = re.compile(rb';\s*(?:(name)|[^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))', re.IGNORECASE)
"""One parameter. All of them are gone through, for a file's name may look like another."""


def model_span(raw: bytes, content_type: str) -> tuple[int, int] | None:
    """Return where the model's name stands in a form, None where it has none. Raises ApiError for what is no form."""
    found = _BOUNDARY.match(content_type)
    if found is None or not content_type.isascii():
        raise bad_request("The request is no form. Send multipart/form-data with a boundary.")
    spans = [
        (start, end) for head, start, end in _parts(raw, b"--" + (found[1] or found[2]).encode()) if _is_model(head)
    ]
    if len(spans) > 1:  # ours need not be the one that the engine takes
        raise bad_request("The form names several models. Send one field `model`.", param="model")
    return spans[0] if spans else None


def _parts(raw: bytes, mark: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Return the headers of each part, and where its content stands. Raises ApiError for too many."""
    at = 0 if raw.startswith(mark) else raw.find(b"\r\n" + mark) + 2
    for _ in range(MAX_PARTS):
        end = raw.find(b"\r\n" + mark, at + len(mark))
        if end < 0 or not raw.startswith(mark, at):
            return
        start = raw.find(b"\r\n\r\n", at, min(end, at + HEAD_BYTES))
        if start >= 0:
            yield raw[at:start], start + 4, end
        at = end + 2
    raise bad_request(f"The form has more than {MAX_PARTS} parts. Send less.")


def _is_model(head: bytes) -> bool:
    said = _DISPOSITION.search(head)
    return said is not None and any(
        is_name and (quoted or bare).replace(b"\\", b"") == b"model" for is_name, quoted, bare in _NAME.findall(said[1])
    )
