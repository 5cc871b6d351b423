"""Where on this host a server could listen, and which addresses are our gateway's."""

import errno
import socket
import subprocess
from pathlib import Path
from typing import Any


def refusal(address: str) -> "str | None":
    """Why no server could listen here now, such as EADDRINUSE; None where one could."""
    host, _, port = address.rpartition(":")
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, int(port)))
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, str(error))
    return None


def own_addresses(runner: Any) -> "list[str]":
    """Where our gateway is listened for, as whoever opened the sockets says: no file of a release has to be whole."""
    said = systemctl("show", "--property=ActiveState,Listen", "gateway.socket")
    if "ActiveState=active" in said:
        lines = [line.partition("=")[2] for line in said.splitlines() if line.startswith("Listen=")]
        return [line.removesuffix(" (Stream)") for line in lines]
    gateway = (runner or {}).get("gateway", {}).get("pid", 0)
    return sorted(listened_on(int(gateway))) if gateway else []


def listened_on(pid: int) -> "set[str]":
    """The addresses that a process has opened, from the kernel's tables (proc_pid_net(5): hexadecimal, state 0A)."""
    try:
        held = {opened(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return set()
    sockets = [line.split() for line in lines]
    return {shown(each[1]) for each in sockets if each[3] == "0A" and f"socket:[{each[9]}]" in held}


def shown(address: str) -> str:
    """127.0.0.1:8080 for 0100007F:1F90."""
    host, _, port = address.partition(":")
    return f"{socket.inet_ntoa(bytes.fromhex(host)[::-1])}:{int(port, 16)}"


def opened(link: Path) -> str:
    """What a descriptor of a process is; nothing when it was closed meanwhile."""
    try:
        return link.readlink().name
    except OSError:
        return ""


def systemctl(*words: str) -> str:
    """What systemd says; nothing where there is none."""
    try:
        return subprocess.run(("systemctl", *words), capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
