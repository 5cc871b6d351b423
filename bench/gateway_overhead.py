"""What the gateway adds to a request, measured on this computer: python -m bench.gateway_overhead [--json] [--rounds N]

An engine that costs next to nothing and the gateway with all its features run as processes of their own. Every round
asks both ways, straight to the engine and through the gateway, in random order; what is reported are the differences
within rounds, since other work on the machine changes between them. Only ratios travel to other machines.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.client import Address, Connection
from bench.report import Figure, Pair, Sample, figures_of, show

ROOT = Path(__file__).resolve().parents[1]
BUSY, STREAMS = 16, 32
EVENTS, GAP_S = 64, 0.005


async def ask_often(connection: Connection, times: int) -> list[float]:
    return [await connection.whole() for _ in range(times)]


async def sample(address: Address, scale: float) -> Sample:
    """Take every figure once, one way."""
    taken = Sample()
    connections = [await address.connect() for _ in range(STREAMS)]
    await asyncio.gather(*(ask_often(connection, 3) for connection in connections))  # warm, and not counted
    taken.latencies_s = await ask_often(connections[0], int(300 * scale))
    began = time.perf_counter()
    per_client = int(80 * scale)
    busy = await asyncio.gather(*(ask_often(connection, per_client) for connection in connections[:BUSY]))
    taken.requests_per_s = BUSY * per_client / (time.perf_counter() - began)
    taken.busy_latencies_s = [latency for each in busy for latency in each]
    taken.paced = await asyncio.gather(*(each.stream(events=EVENTS, gap_s=GAP_S) for each in connections))
    began = time.perf_counter()
    taken.flooded = await asyncio.gather(*(each.stream(events=EVENTS * 2, gap_s=0) for each in connections))
    taken.events_per_s = STREAMS * EVENTS * 2 / (time.perf_counter() - began)
    for connection in connections:
        connection.close()
    return taken


async def measure(direct: Address, through: Address, rounds: int, scale: float) -> list[Pair]:
    """Return (direct, through the gateway) for every round but the first, which only warms both up."""
    pairs: list[Pair] = []
    for _ in range(rounds + 1):
        ways = [direct, through]
        random.shuffle(ways)
        taken = {id(way): await sample(way, scale) for way in ways}
        pairs.append((taken[id(direct)], taken[id(through)]))
    return pairs[1:]


async def spawn(directory: Path, *arguments: str) -> asyncio.subprocess.Process:
    log = (directory / f"{arguments[0]}.log").open("wb")
    with log:
        return await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, cwd=ROOT, stderr=log)


async def port_of(log: Path, within_s: float = 20) -> int:
    """Wait until the gateway listens and knows its engine as ready."""
    async with asyncio.timeout(within_s):
        while "event=upstream.ready" not in (text := log.read_text()) or "event=gateway.listening" not in text:
            await asyncio.sleep(0.05)
    return int(text.partition("addresses=127.0.0.1:")[2].split()[0])


def rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


async def run(rounds: int, scale: float) -> list[Figure]:
    """Start engine and gateway, measure, and end them."""
    with tempfile.TemporaryDirectory(prefix="axion-bench-") as name:
        directory = Path(name)
        socket = directory / "bench.sock"
        model = {"name": "bench", "socket": str(socket)}
        config = {"listen": [{"port": 0}], "default_model": "bench", "models": [model]}
        (directory / "gateway.json").write_text(json.dumps(config))
        processes = [await spawn(directory, "bench.engine", "--uds", str(socket), "--name", "bench")]
        try:
            processes.append(await spawn(directory, "gateway", "--config", str(directory / "gateway.json")))
            through = Address(port=await port_of(directory / "gateway.log"))
            pairs = await measure(Address(uds=socket), through, rounds, scale)
            return figures_of(pairs, rss_mb(processes[1].pid))
        finally:
            for process in processes:
                process.kill()
                await process.wait()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.gateway_overhead", description="Measure what the gateway adds.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of requests in a round")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    load_before = os.getloadavg()[0]
    figures = asyncio.run(run(args.rounds, args.scale))
    show(figures, loads=(load_before, os.getloadavg()[0]), rounds=args.rounds, as_json=args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
