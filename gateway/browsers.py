"""What web pages may do here. A browser sends their requests with the user's reach, so the gateway has to tell.

Pure decisions from headers to a refusal, or to the headers that let a page read the answer. Cookies mean nothing to
the gateway, so no page is ever allowed credentials.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.config import GatewayConfig
from gateway.errors import ApiError, foreign_host, foreign_origin

READING = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = "GET, POST, DELETE"
EXPOSED = ", ".join(
    (
        "Retry-After",
        "X-Request-Id",
        "X-Served-Model",
        "X-Route-Reason",
        *(f"x-ratelimit-{what}-{of}" for of in ("requests", "tokens") for what in ("limit", "remaining", "reset")),
    )
)
PREFLIGHT_LASTS_S = 600
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_-]+( *, *[A-Za-z0-9_-]+)*")


def refusal(method: str, headers: Mapping[str, str], config: GatewayConfig) -> ApiError | None:
    """Return why a request is not answered: another host's name, or a page that may not change anything here."""
    host = headers.get("Host")
    if host is not None and not is_our_host(host, config):
        return foreign_host()
    origin = headers.get("Origin")
    if origin is None or is_allowed(origin, host, config):
        return None
    return foreign_origin() if method not in READING or is_preflight(method, headers) else None


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks if it may ask."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def is_our_host(host: str, config: GatewayConfig) -> bool:
    """Whether a Host header names this gateway. Only asked where nothing but loopback is listened on: a page whose
    name was made to point to 127.0.0.1 is of the same origin for its browser, and shows its own name here."""
    if not all(_is_loopback(address.host) for address in config.listen):
        return True
    name = _name_of(host)
    return _is_loopback(name) or name in config.hosts or name in {address.host for address in config.listen}


def is_allowed(origin: str, host: str | None, config: GatewayConfig) -> bool:
    """Whether pages of an origin may do everything: those of this address, and those of the list."""
    return _is_at(origin, host) or origin in config.cors_origins or "*" in config.cors_origins


def _is_at(origin: str, host: str | None) -> bool:
    try:
        page = urlsplit(origin)
    except ValueError:  # no URL, as `http://[`
        return False
    return host is not None and page.scheme in ("http", "https") and page.netloc == host.lower()


def allowance(method: str, headers: Mapping[str, str], config: GatewayConfig) -> dict[str, str]:
    """Return the headers that let an allowed page read the answer, none for all others."""
    origin = headers.get("Origin")
    if origin is None or not config.cors_origins:
        return {}
    if origin not in config.cors_origins and "*" not in config.cors_origins:
        return {"Vary": "Origin"}
    found = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}
    if is_preflight(method, headers):
        found["Access-Control-Allow-Methods"] = METHODS
        found["Access-Control-Max-Age"] = str(PREFLIGHT_LASTS_S)
        if _HEADER_NAMES.fullmatch(wanted := headers.get("Access-Control-Request-Headers", "")):
            found["Access-Control-Allow-Headers"] = wanted
        if headers.get("Access-Control-Request-Private-Network") == "true":
            found["Access-Control-Allow-Private-Network"] = "true"
    return found


def _name_of(host: str) -> str:
    name = host.lower()
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


@lru_cache(maxsize=64)
def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
