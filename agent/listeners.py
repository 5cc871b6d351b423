"""Who listens at an address, by the kernel's own tables. Reads only; of processes that it may not see it tells nothing.

proc_net_tcp(5): addresses are hexadecimal words in the machine's byte order, ports are not, and 0A means LISTEN.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

LISTEN = "0A"
EVERY = ("0.0.0.0", "::")  # noqa: S104 - looked for, not listened at


def refusal(address: str) -> str | None:
    """Why no server could listen here now, such as EADDRINUSE; None where one could."""
    host, _, port = address.rpartition(":")
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, int(port)))
        except (OSError, TypeError, ValueError, OverflowError) as error:
            return errno.errorcode.get(getattr(error, "errno", None) or 0, str(error))
    return None


def holder(address: str) -> str:
    """Name the program that listens at an address, such as `nginx (pid 712)`."""
    host, _, port = address.rpartition(":")
    same = (host, *EVERY)
    inodes = {inode for ip, number, inode in listening() if str(number) == port and (ip in same or host in EVERY)}
    for pid in sorted(int(path.name) for path in Path("/proc").glob("[0-9]*")):
        if inodes & sockets_of(pid):
            return f"{name_of(pid)} (pid {pid})"
    return "a program that it does not see"


def addresses_of(pid: int) -> tuple[str, ...]:
    """Every address at which a process listens."""
    mine = sockets_of(pid)
    return tuple(f"{ip}:{port}" for ip, port, inode in listening() if inode in mine)


def listening() -> Iterator[tuple[str, int, str]]:
    """Address, port and inode of each TCP socket that listens."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        except OSError:
            continue
        for row in rows:
            if row[3] == LISTEN:
                ip, _, port = row[1].rpartition(":")
                yield readable(ip), int(port, 16), row[9]


def readable(words: str) -> str:
    """An address as people write it."""
    raw = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def sockets_of(pid: int) -> set[str]:
    """Inodes of the sockets that a process has open."""
    try:
        opened = [opened_as(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()  # it ended meanwhile, or is somebody else's
    return {target[8:-1] for target in opened if target.startswith("socket:[")}


def opened_as(link: Path) -> str:
    """What a descriptor of a process is; nothing when it was closed meanwhile."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "a program"
