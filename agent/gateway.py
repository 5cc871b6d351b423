"""What the running gateway says of itself."""

from agent.message import MessageError
from agent.protocol import GatewayState
from agent.unix_http import TcpConnection, call

TIMEOUT_S = 5


def ask(address: str) -> GatewayState | None:
    """Read /stats at host:port; None where no gateway answers."""
    status, body = call(TcpConnection(address, TIMEOUT_S), "GET", "/stats")
    try:
        return GatewayState.from_json(body) if status == 200 else None
    except MessageError:
        return None
