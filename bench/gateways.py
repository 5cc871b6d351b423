"""Ours beside other gateways, and the engine itself: python -m bench.gateways [--rounds N] [--routers FOLDER]

One engine that costs next to nothing; in every round each way is asked in a new random order, and ours checks keys and
counts as it always does. `make bench-gateway` brings the others. Rates and times are for comparing ways within one run;
the processor's time of a request depends least on what else the machine does.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import shutil
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Address
from bench.gateway_overhead import BUSY, STREAMS, port_of, rss_mb, sample, spawn
from bench.report import Sample, percentile

ROOT = Path(__file__).resolve().parents[1]
ROUTERS = ROOT / "out" / "tools" / "routers"
BUILDS = ROOT / "out" / "local" / "builds"
"""Engine environments, as `fab demo.prepare` makes them: they have uvloop, as on hosts; `.venv` does not."""
KEY = "a-key-for-the-benchmark-only"
START_S = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
 access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
 uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
 upstream engine {{ server 127.0.0.1:{engine}; keepalive 64; }}
 server {{ listen 127.0.0.1:{port}; location / {{
  proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }} }}
}}
"""


@dataclass(slots=True)
class Way:
    """How requests go to the engine, and what was seen on it in each round."""

    name: str
    address: Address
    pids: tuple[int, ...]
    samples: list[Sample] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    """Processor time of one request that was not streamed."""


def newest_engine() -> Path:
    """The interpreter of the engine environment that was made last, else this one."""
    found = sorted(BUILDS.glob("*/venv/bin/python"), key=lambda path: path.lstat().st_mtime)
    return found[-1] if found else Path(sys.executable)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pids: Sequence[int]) -> float:
    """The processor time that processes have taken so far."""
    spent = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return spent / TICKS


async def cpu_of_a_request(way: Way, times: int) -> float:
    """Ask with BUSY clients, often enough for the kernel's clock of 10 ms."""
    connections = [await way.address.connect() for _ in range(BUSY)]
    before = cpu_s(way.pids)

    async def ask(connection: object) -> None:
        for _ in range(times // BUSY):
            await connection.whole()  # type: ignore[attr-defined]

    await asyncio.gather(*(ask(connection) for connection in connections))
    for connection in connections:
        connection.close()
    return (cpu_s(way.pids) - before) / (times // BUSY * BUSY)


async def measure(ways: Sequence[Way], rounds: int, scale: float) -> None:
    """Ask every way in every round; the first only warms up."""
    for number in range(rounds + 1):
        for way in random.sample(ways, len(ways)):
            taken, spent_s = await sample(way.address, scale), await cpu_of_a_request(way, int(2000 * scale))
            if number:
                way.samples.append(taken)
                way.cpu_s.append(spent_s)
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)


@asynccontextmanager
async def process(folder: Path, name: str, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until the block ends."""
    with (folder / f"{name}.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            child.kill()
        await child.wait()


async def until_answered(port: int, log: Path) -> None:
    """Wait until a router passes a request on; TimeoutError with what it said."""
    body = json.dumps({"model": "bench", "prompt": "p"}).encode()
    where = f"http://127.0.0.1:{port}/v1/completions"
    asked = urllib.request.Request(where, body, {"Content-Type": "application/json"})
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        try:
            with await asyncio.to_thread(urllib.request.urlopen, asked, timeout=2):
                return
        except OSError:
            await asyncio.sleep(0.2)
    raise TimeoutError(log.read_text(errors="replace")[-2000:])


@asynccontextmanager
async def all_ways(folder: Path, python: Path, routers: Path) -> AsyncIterator[list[Way]]:
    """Start the engine and everything that is here to stand in front of it."""
    uds, engine_port = folder / "bench.sock", free_port()
    (folder / "gateway.json").write_text(
        json.dumps(
            {"listen": [{"port": 0}], "default_model": "bench", "models": [{"name": "bench", "socket": str(uds)}]}
        )
    )
    (folder / "keys").write_text(KEY)
    async with AsyncExitStack() as stack:
        engine = await spawn(
            folder, "bench.engine", *("--uds", str(uds), "--port", str(engine_port), "--name", "bench")
        )
        stack.push_async_callback(engine.wait)
        stack.callback(engine.kill)
        own = ("-m", "gateway", "--config", str(folder / "gateway.json"), "--keys", str(folder / "keys"))
        ours = await stack.enter_async_context(process(folder, "gateway", str(python), *own))
        port = await port_of(folder / "gateway.log")
        ways = [
            Way("the engine itself", Address(uds=uds), (engine.pid,)),
            Way("ours, with keys", Address(port=port, key=KEY), (ours.pid,)),
        ]
        worker = f"http://127.0.0.1:{engine_port}"
        others: dict[str, tuple[str, ...]] = {
            "SMG": (str(routers / "bin" / "smg"), "launch", *router_words(worker)),
            "vllm-router": (str(routers / "bin" / "vllm-router"), *router_words(worker)),
            "nginx": (shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(folder / "nginx.conf")),
        }
        for name, words in others.items():
            if not Path(words[0]).exists():
                print(f"{name}: left out, no {words[0]}", file=sys.stderr)
                continue
            at = free_port()
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, engine=engine_port, port=at))
            typed = [str(at) if word == "PORT" else str(free_port()) if word == "OTHER" else word for word in words]
            child = await stack.enter_async_context(process(folder, name, *typed))
            await until_answered(at, folder / f"{name}.log")
            ways.append(Way(name, Address(port=at), (child.pid, *children(child.pid))))
        yield ways


def router_words(worker: str) -> tuple[str, ...]:
    """Both routers are of one family."""
    at = ("--host", "127.0.0.1", "--port", "PORT", "--prometheus-port", "OTHER")
    return ("--worker-urls", worker, "--policy", "round_robin", *at, "--log-level", "error")


def children(pid: int) -> tuple[int, ...]:
    """Processes that a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return tuple(map(int, text.split()))


def rows(ways: Sequence[Way]) -> list[dict[str, float | str]]:
    """Condense each way to medians over its rounds."""
    ours = statistics.median(each.requests_per_s for each in ways[1].samples)
    found: list[dict[str, float | str]] = []
    for way in ways:
        rate = statistics.median(each.requests_per_s for each in way.samples)
        first = [statistics.median(percentile(each.first_events_s(), at) for each in way.samples) for at in (50, 99)]
        streams = [streamed for taken in way.samples for streamed in taken.streams()]
        found.append(
            {
                "way": way.name,
                "requests a second": rate,
                "of ours": rate / ours,
                "CPU us a request": 1e6 * statistics.median(way.cpu_s),
                "first token p50 ms": 1e3 * first[0],
                "first token p99 ms": 1e3 * first[1],
                "events lost": sum(each.lost for each in streams),
                "merged": sum(each.merged for taken in way.samples for each in taken.paced),
                "torn": sum(each.torn for each in streams),
                "MB": sum(rss_mb(pid) for pid in way.pids),
            }
        )
    return found


def show(found: Sequence[dict[str, float | str]]) -> None:
    """Print a table."""
    print(" ".join(f"{name:>18}" for name in found[0]))
    for row in found:
        print(" ".join(f"{value:>18}" if isinstance(value, str) else f"{value:>18.2f}" for value in row.values()))


async def run(rounds: int, scale: float, python: Path, routers: Path) -> list[dict[str, float | str]]:
    with tempfile.TemporaryDirectory(prefix="axion-bench-") as name:
        async with all_ways(Path(name), python, routers) as ways:
            await measure(ways, rounds, scale)
            return rows(ways)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.gateways", description="Compare gateways side by side.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of requests in a round")
    parser.add_argument("--python", type=Path, default=newest_engine(), help="of an engine environment, as on hosts")
    parser.add_argument("--routers", type=Path, default=ROUTERS, help="an environment with smg and vllm-router")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    found = asyncio.run(run(args.rounds, args.scale, args.python, args.routers))
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    show(found)
    where = f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}"
    print(
        f"{BUSY} clients, {STREAMS} streams; measured on {where}, {args.rounds} rounds, load average {load:.1f} before"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
