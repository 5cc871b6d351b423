"""The sockets that the gateway accepts connections on: its own, or those that systemd opened for it."""

import os
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from gateway.config import Listen

FIRST_INHERITED_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
BACKLOG = 4096
"""As in gateway.socket: the last listen(2) counts for everybody who holds the socket."""


class ListenError(Exception):
    """An address cannot be listened on."""


def inherited_count(environment: Mapping[str, str], pid: int) -> int:
    """Return how many listening sockets systemd passed to this very process."""
    if environment.get("LISTEN_PID") != str(pid):
        return 0
    count = environment.get("LISTEN_FDS", "")
    return int(count) if count.isdecimal() else 0


def open_listeners(addresses: Iterable[Listen], *, must_inherit: bool = False) -> list[socket.socket]:
    """Return listening sockets: the inherited ones if there are any, else new ones. Raises ListenError."""
    count = inherited_count(os.environ, os.getpid())
    if must_inherit and not count:
        advice = "Look at `systemctl status gateway.socket`."
        raise ListenError(f"listen: systemd has to hand over the sockets. {advice}")
    if count:
        inherited = [socket.socket(fileno=FIRST_INHERITED_FD + number) for number in range(count)]
        for listener in inherited:
            listener.set_inheritable(False)
        return inherited
    return [bound for address in addresses for bound in _bound(address)]


def refuse_open(hosts: Iterable[str]) -> None:
    """Raise ListenError where other machines can reach one of these addresses. For a gateway that asks for no key."""
    reached = sorted({host for host in hosts if not is_loopback(host)})
    if reached:
        raise ListenError(
            f"listen: other machines can reach it, got {', '.join(reached)}, and no keys are asked for. Give --keys, "
            "or listen on 127.0.0.1; where a network of your own keeps strangers out, say so: gateway.open: true."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect there; a name that is no address is not taken for one."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _bound(address: Listen) -> list[socket.socket]:
    where = f"listen: {address.host}:{address.port}"
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
        )
        return [_bind(family, place) for family, _, _, _, place in found]
    except OSError as error:
        advice = "Free the address or choose another one."
        raise ListenError(f"{where}: cannot be listened on: {error.strerror or error}. {advice}") from error


def _bind(family: socket.AddressFamily, place: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # 0.0.0.0 and :: can then stand side by side
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
