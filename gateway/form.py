"""The one field of an uploaded form that decides where it goes. The rest is passed on as it came."""

import re

from gateway.errors import bad_request

FORM_ROUTES = ("/v1/audio/transcriptions", "/v1/audio/translations")
HEAD_BYTES = 4096
"""Of a part's own headers."""
_BOUNDARY = re.compile(r'multipart/form-data;.*?boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_IS_MODEL = re.compile(rb'^content-disposition:[^\r\n]*;\s*name="?model"?\s*(?:;|\r|$)', re.IGNORECASE | re.MULTILINE)


def model_span(raw: bytes, content_type: str) -> tuple[int, int] | None:
    """Return where the model's name stands in a form, None where it has none. Raises ApiError for what is no form."""
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise bad_request("The request is no form. Send multipart/form-data with a boundary.")
    mark = b"--" + (found[1] or found[2]).encode()
    at = 0 if raw.startswith(mark) else raw.find(b"\r\n" + mark) + 2
    while at >= 2 or raw.startswith(mark, at):
        start = raw.find(b"\r\n\r\n", at, at + HEAD_BYTES)
        end = raw.find(b"\r\n" + mark, at + len(mark))
        if end < 0:
            return None
        if 0 <= start < end and _IS_MODEL.search(raw[at:start]):
            return start + 4, end
        at = end + 2
    return None
