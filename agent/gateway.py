"""What the running gateway says of itself."""

from http.client import HTTPConnection

from agent.protocol import GatewayState
from agent.unix_http import call

TIMEOUT_S = 5


def ask(address: str) -> GatewayState | None:
    """Read /stats at host:port; None where no gateway answers."""
    host, _, port = address.rpartition(":")
    try:
        status, body = call(HTTPConnection(host.strip("[]"), int(port), timeout=TIMEOUT_S), "GET", "/stats")
        return GatewayState.from_json(body) if status == 200 else None
    except (OverflowError, ValueError):
        return None
