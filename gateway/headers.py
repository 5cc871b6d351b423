"""Which headers cross the gateway: pure functions from one side's headers to the other's."""

import math
import os
import re
from collections.abc import Iterable, Mapping

from multidict import CIMultiDict

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110 section 7.6.1: about one connection, not about the message."""

NOT_FOR_ENGINES = HOP_BY_HOP | {
    "accept-encoding",  # replaced: a compressed event stream would be kept back by the compressor
    "api-key",
    "authorization",  # credentials are the gateway's business; an engine has no use for them
    "content-encoding",  # the body was decompressed while it was read
    "content-length",
    "content-type",  # replaced: engines refuse JSON under another name, and the body is known to be JSON
    "cookie",
    "expect",
    "host",
    "origin",  # who may ask from where is decided here, and an engine would allow every page
    "x-api-key",
    "x-request-id",
}
NOT_FOR_CLIENTS = HOP_BY_HOP | {
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "content-length",
    "set-cookie",
    "x-request-id",
    "x-served-model",
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

Headers = Iterable[tuple[str, str]]


def request_id_of(offered: str | None) -> str:
    """Return the client's request id if it is harmless in a header and in a log, else a new one."""
    if offered is not None and _REQUEST_ID.fullmatch(offered):
        return offered
    return os.urandom(16).hex()


def for_engine(headers: Headers, *, request_id: str) -> CIMultiDict[str]:
    """Return what an engine is told of a client's headers."""
    kept = _end_to_end(headers, NOT_FOR_ENGINES)
    kept["Content-Type"] = "application/json"
    kept["Accept-Encoding"] = "identity"
    kept["X-Request-Id"] = request_id
    return kept


def for_client(headers: Headers, *, model: str, request_id: str) -> CIMultiDict[str]:
    """Return what a client is told of an engine's headers."""
    kept = _end_to_end(headers, NOT_FOR_CLIENTS)
    kept["X-Served-Model"] = model
    kept["X-Request-Id"] = request_id
    return kept


def is_event_stream(headers: Mapping[str, str]) -> bool:
    """Whether a body is a stream of server-sent events."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/event-stream"


def stated_timeout_s(headers: Mapping[str, str], *, is_streamed: bool) -> float | None:
    """Return how long a client says that it waits for its whole answer, None if it does not.

    OpenAI's clients send how long they bear silence: Python's as read timeout, JavaScript's until the head. A whole
    answer is silent to its end, a stream is not.
    """
    names = ("X-Request-Timeout", *(() if is_streamed else ("X-Stainless-Read-Timeout", "X-Stainless-Timeout")))
    stated = [seconds for name in names if (seconds := _seconds(headers.get(name, ""))) is not None]
    return min(stated, default=None)


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _end_to_end(headers: Headers, dropped: frozenset[str]) -> CIMultiDict[str]:
    lowered = [(name.lower(), name, value) for name, value in headers]
    named = {token.strip().lower() for low, _, value in lowered if low == "connection" for token in value.split(",")}
    # A value that is not ASCII arrives as lone surrogates, which cannot be sent on.
    return CIMultiDict(
        (name, value) for low, name, value in lowered if low not in dropped and low not in named and value.isascii()
    )
