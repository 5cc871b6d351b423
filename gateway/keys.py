"""The keys that clients must send, one a line of a file outside every release; a changed file counts at once."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from gateway.errors import keys_missing, wrong_key
from gateway.events import log_event

OPEN_ROUTES = frozenset({"/", "/health", "/livez", "/readyz", "/ui", "/ui/page.css", "/ui/page.js"})
"""For load balancers, which send no key, and for the page, whose files say nothing: what it shows needs the key."""
HOST_ROUTES = frozenset({"/metrics", "/stats"})
"""Open to what runs on the host itself: the idle stop, `fab`, an agent that collects metrics."""
LOOK_S = 1.0


class Keys:
    """Decides about each request. Without a file nobody is asked."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._digests: tuple[bytes, ...] = ()
        self._stamp: tuple[int, ...] | None = None
        self._looked = float("-inf")

    def check(self, request: web.Request, route: str) -> None:
        """Raise ApiError unless this request may be answered."""
        if self._path is None or route in OPEN_ROUTES or (route in HOST_ROUTES and is_from_here(request)):
            return
        self._read(self._path)
        if not self._digests:  # a gateway that was told of keys and has none is closed, not open
            raise keys_missing()
        offered = [hashlib.sha256(key.encode(errors="replace")).digest() for key in offered_keys(request.headers)]
        # Each with each, to the end: how long it takes tells nothing.
        same = [hmac.compare_digest(one, known) for one in offered for known in self._digests]
        if not any(same):
            raise wrong_key(is_given=bool(offered))

    def _read(self, path: Path) -> None:
        """Look at the file, once a second at most. One that went away, or cannot be read, leaves the keys as they are:
        a successor is put in its place in one step."""
        if time.monotonic() < self._looked + LOOK_S and self._digests:
            return
        self._looked = time.monotonic()
        try:
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp == self._stamp:
                return
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            log_event("gateway.keys_unreadable", reason=type(error).__name__)
            return
        self._stamp = stamp
        self._digests = tuple(hashlib.sha256(line.encode()).digest() for line in lines if line)
        log_event("gateway.keys_read", keys=len(self._digests))


def offered_keys(headers: Mapping[str, str]) -> list[str]:
    """Return the keys of a request, where the clients of OpenAI, Azure and Anthropic put them."""
    scheme, _, bearer = headers.get("Authorization", "").strip().partition(" ")
    found = [
        bearer.strip() if scheme.lower() == "bearer" else "",
        headers.get("api-key", ""),
        headers.get("x-api-key", ""),
    ]
    return [key for key in found if key]


def is_from_here(request: web.Request) -> bool:
    """Whether a request comes from the host that the gateway runs on: from loopback, or from its own address."""
    transport = request.transport
    peer, own = (transport.get_extra_info(name) if transport else None for name in ("peername", "sockname"))
    if not isinstance(peer, tuple) or not isinstance(own, tuple):
        return False
    return ip_address(peer[0].partition("%")[0]).is_loopback or peer[0] == own[0]
