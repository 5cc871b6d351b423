"""A stand-in for `vllm serve`: the same tree of processes, the same deafness, none of the weight.

API server -> core (retitled) -> worker (retitled). Directed by TREE_* variables in the engine's .env; writes the three
pids to pids.json in its working directory and answers every request on the socket that its config names (`uds: PATH`).
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def blank_environment() -> None:
    """Do to /proc/self/environ what setproctitle does: overwrite most of it in place, but not its end."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(end - 4, b"X=1", 4)


def linger() -> None:
    """Live on whatever happens to the parent, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    blank_environment()
    while True:
        time.sleep(60)


def run_core(report: int) -> None:
    if os.environ.get("TREE_SETSID"):
        os.setsid()
    worker = os.fork()
    if worker == 0:
        linger()
    os.write(report, f"{worker}\n".encode())
    linger()


def note_stops() -> list[float]:
    """Return a list that fills with the times of SIGTERM; nobody may be told our pid before this."""
    stops: list[float] = []
    if os.environ.get("TREE_IGNORE_TERM"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: stops.append(time.monotonic()))
    return stops


def serve(address: str, is_stopping: list[float]) -> None:
    """Answer 200 until SIGTERM has been here and the drain is over."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        listener.settimeout(0.05)
        while not is_stopping or time.monotonic() - is_stopping[0] < float(os.environ.get("TREE_DRAIN_S", "0")):
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def main() -> int:
    assert sys.argv[1:3] == ["serve", "--config"], sys.argv
    if code := os.environ.get("TREE_EXIT"):
        return int(code)
    address = Path(sys.argv[3]).read_text().removeprefix("uds:").strip()
    read, write = os.pipe()
    core = os.fork()
    if core == 0:
        run_core(write)
    worker = int(os.read(read, 32))
    stops = note_stops()
    pids = {"api": os.getpid(), "core": core, "worker": worker}
    draft = Path("pids.json.new")
    draft.write_text(json.dumps(pids | {"environment": dict(os.environ), "umask": os.umask(0o077)}))
    draft.replace("pids.json")
    serve(address, stops)
    # A clean end takes the tree down, as vLLM's own shutdown does.
    for pid in (worker, core):
        os.kill(pid, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
