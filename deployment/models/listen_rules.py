"""Which addresses of a gateway go together, and what TLS asks of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from deployment.document import Path
from deployment.problems import shown

EVERY_HOST = "0.0.0.0"  # noqa: S104 - compared
LOOPBACK = ("127.", "localhost:")


def listen_findings(gateway: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Check a gateway's addresses against each other and against its TLS."""
    listen = gateway.get("listen")
    addresses = [each for each in listen if isinstance(each, str)] if isinstance(listen, list) else ["127.0.0.1:8080"]
    for index, address in enumerate(addresses):
        host, _, port = address.rpartition(":")
        if host != EVERY_HOST and f"{EVERY_HOST}:{port}" in addresses:
            yield (
                ("gateway", "listen", index),
                f"0.0.0.0:{port} holds it already, got {shown(address)}. Change its port.",
            )
    if gateway.get("tls") is None or not addresses:
        return
    if not addresses[0].startswith(LOOPBACK):
        what = "with tls, the host itself asks at the first address, without TLS"
        yield ("gateway", "listen", 0), f"{what}, got {shown(addresses[0])}. Put one of 127.0.0.1 before it."
    elif all(address.startswith(LOOPBACK) for address in addresses):
        what = "nobody would be spoken to with TLS: every address of listen is for this host only"
        yield ("gateway", "tls"), f"{what}, got {shown(addresses)}. Add one, such as 0.0.0.0:8443."
