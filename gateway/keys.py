"""The keys that clients must send, and what each may do: a file outside every release; a changed one counts at once.

It holds digests where somebody else wrote it for the gateway (agent/secrets.py), and may hold keys; in memory are
digests only.
"""

import hashlib
import hmac
import time
from collections.abc import Container, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path

from aiohttp import web

from agent.client_keys import ClientKey, KeyList, key_list
from gateway.errors import keys_missing, wrong_key
from gateway.events import log_event

OPEN_ROUTES = frozenset({"/livez", "/ui", "/ui/page.css", "/ui/page.js"})
"""One says that a process answers. The others are the page's files, which a browser fetches without a key, and which
say nothing: what the page shows needs the key."""
HOST_ROUTES = frozenset({"/", "/health", "/metrics", "/readyz", "/stats"})
"""Open to what runs on the host itself: the idle stop, `fab`, an agent that collects metrics."""
KEYLESS_ROUTES = OPEN_ROUTES | HOST_ROUTES
PROBED_ROUTES = frozenset({"/readyz"})
PROBERS = tuple(ip_network(each) for each in ("35.191.0.0/16", "130.211.0.0/22"))
"""Google's health checks come from nowhere else, nothing else from there, and they cannot be told to send a key."""
PASSED_ON = ("Forwarded", "Via", "X-Forwarded-For")
"""By these headers a proxy says that somebody else asks, whom it may have on the host itself."""
LOOK_S = 1.0
PROBLEMS = ".problems"
"""Behind the file's name: what was wrong with a list that was therefore not installed."""


class Keys:
    """Knows the caller of each request. Without a file nobody is asked."""

    def __init__(self, path: Path | None) -> None:
        self.error: str | None = None
        """What is wrong with the newest list, whose keys are not taken over."""
        self._path = path
        self._keys: tuple[ClientKey, ...] = ()
        self._stamp: tuple[tuple[int, ...], ...] = ()
        self._looked = float("-inf")

    @property
    def count(self) -> int | None:
        """How many keys are in force; None where nobody is asked for one."""
        return None if self._path is None else len(self._keys)

    def unserved(self, names: Container[str]) -> tuple[str, ...]:
        """Return the models that keys name beside these names, each once."""
        named = (name for key in self._keys for name in key.models or ())
        return tuple(dict.fromkeys(name for name in named if name not in names))

    def caller(self, request: web.Request, route: str) -> ClientKey | None:
        """Return whose request this is, None where it needs no key. Raises ApiError unless it may be answered."""
        if self._path is None:
            return None
        if route in KEYLESS_ROUTES and is_open(route, *_ends(request), is_passed_on=is_passed_on(request.headers)):
            return None
        self.look()
        if not self._keys:  # a gateway that was told of keys and has none is closed, not open
            raise keys_missing()
        offered = offered_keys(request.headers)
        digests = [hashlib.sha256(key.encode(errors="replace")).digest() for key in offered]
        # Each with each, to the end: how long it takes tells nothing.
        same = [key for one in digests for key in self._keys if hmac.compare_digest(one, key.digest)]
        if not same:
            raise wrong_key(is_given=bool(offered))
        return same[0]

    def look(self) -> None:
        """Look at the file, once a second at most. One that went away, or cannot be read, leaves the keys as they are:
        a successor is put in its place in one step."""
        if self._path is None or (time.monotonic() < self._looked + LOOK_S and self._keys):
            return
        self._looked = time.monotonic()
        refused = self._path.with_name(self._path.name + PROBLEMS)
        stamp = (_stamp_of(self._path), _stamp_of(refused))
        if stamp == self._stamp:
            return
        try:
            self.error = refused.read_text(encoding="utf-8").strip() if stamp[1] else None
            found = key_list(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log_event("gateway.keys_unreadable", reason=type(error).__name__)
            return
        self._stamp = stamp
        self._adopt(found)

    def _adopt(self, found: KeyList) -> None:
        if found.problems:
            self.error = "\n".join((*([self.error] if self.error else ()), *found.problems))
        for problem in (self.error or "").splitlines():
            log_event("gateway.keys_refused", problem=problem)
        for warning in found.warnings:
            log_event("gateway.keys_warning", warning=warning)
        if not found.problems:
            self._keys = found.keys
            log_event("gateway.keys_read", keys=len(found.keys))


def is_open(route: str, peer: str, own: str, *, is_passed_on: bool) -> bool:
    """Whether a route needs no key from `peer`, who connected to `own`."""
    if route in OPEN_ROUTES:
        return True
    if is_passed_on or not peer:
        return False
    address = ip_address(peer.partition("%")[0])
    if route in PROBED_ROUTES and any(address in each for each in PROBERS):
        return True
    return route in HOST_ROUTES and (address.is_loopback or peer == own)


def is_passed_on(headers: Mapping[str, str]) -> bool:
    """Whether a proxy says that it asks for somebody else."""
    return any(name in headers for name in PASSED_ON)


def offered_keys(headers: Mapping[str, str]) -> list[str]:
    """Return the keys of a request, where the clients of OpenAI, Azure and Anthropic put them."""
    scheme, _, bearer = headers.get("Authorization", "").strip().partition(" ")
    found = [
        bearer.strip() if scheme.lower() == "bearer" else "",
        headers.get("api-key", ""),
        headers.get("x-api-key", ""),
    ]
    return [key for key in found if key]


def _ends(request: web.Request) -> tuple[str, str]:
    """The addresses of the client and of the gateway; empty for what is no connection over IP."""
    transport = request.transport
    peer, own = (transport.get_extra_info(name) if transport else None for name in ("peername", "sockname"))
    return (peer[0], own[0]) if isinstance(peer, tuple) and isinstance(own, tuple) else ("", "")


def _stamp_of(path: Path) -> tuple[int, ...]:
    """Return what changes with a file's content; nothing where no file is."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ino, found.st_size
