"""The gateway's processor time for a request and for an event: python -m bench.gateway_cpu [CHECKOUT ...]

Keys, metrics and log are on. Given several checkouts, their gateways run side by side on one engine and are asked in a
new random order each round, so that other work on the machine meets them alike; medians over the rounds are printed.
Time that a process waits does not count.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Address
from bench.gateway_overhead import BUSY, ROOT, STREAMS, ask_often, port_of, spawn
from bench.gateways import KEY, newest_engine

REQUESTS = 2000
EVENTS, GAP_S = 64, 0.004


@dataclass(slots=True)
class Measured:
    """One checkout's gateway, and what each round found, in microseconds."""

    checkout: Path
    address: Address
    pid: int
    request_us: list[float] = field(default_factory=list)
    stream_us: list[float] = field(default_factory=list)
    """A stream of one event."""
    event_us: list[float] = field(default_factory=list)
    """Each further event, when no two come together."""

    async def take(self, scale: float) -> None:
        """Measure once."""
        connections = [await self.address.connect() for _ in range(STREAMS)]
        await asyncio.gather(*(ask_often(each, 3) for each in connections))
        times = int(REQUESTS * scale) // BUSY
        begun = cpu_us(self.pid)
        await asyncio.gather(*(ask_often(each, times) for each in connections[:BUSY]))
        asked = cpu_us(self.pid)
        repeats = max(1, int(8 * scale))
        for _ in range(repeats):
            await asyncio.gather(*(each.stream(events=1, gap_s=0) for each in connections))
        short = cpu_us(self.pid)
        await asyncio.gather(*(each.stream(events=EVENTS + 1, gap_s=GAP_S) for each in connections))
        long = cpu_us(self.pid)
        for each in connections:
            each.close()
        self.request_us.append((asked - begun) / (times * BUSY))
        self.stream_us.append((short - asked) / (repeats * STREAMS))
        self.event_us.append(((long - short) / STREAMS - self.stream_us[-1]) / EVENTS)


def cpu_us(pid: int) -> float:
    """The time that a process with one thread was on a processor, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


async def run(checkouts: Sequence[Path], python: Path, rounds: int, scale: float) -> list[Measured]:
    """Start everything, measure, and end it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="axion-bench-")))
        uds = folder / "bench.sock"
        model = {"name": "bench", "socket": str(uds)}
        config, keys = folder / "gateway.json", folder / "keys"
        config.write_text(json.dumps({"listen": [{"port": 0}], "default_model": "bench", "models": [model]}))
        keys.write_text(KEY)
        engine = await spawn(folder, "bench.engine", "--uds", str(uds), "--name", "bench")
        stack.push_async_callback(engine.wait)
        stack.callback(engine.kill)
        measured: list[Measured] = []
        for number, checkout in enumerate(checkouts):
            log = folder / f"gateway-{number}.log"
            words = (str(python), "-m", "gateway", "--config", str(config), "--keys", str(keys))
            with log.open("wb") as out:
                gateway = await asyncio.create_subprocess_exec(*words, cwd=checkout, stderr=out)
            stack.push_async_callback(gateway.wait)
            stack.callback(gateway.kill)
            measured.append(Measured(checkout, Address(port=await port_of(log, within_s=120), key=KEY), gateway.pid))
        for number in range(rounds + 1):
            for each in random.sample(measured, len(measured)):
                await each.take(scale if number else 0.2)
        return measured


def show(measured: Sequence[Measured]) -> None:
    """Print a line for each checkout."""
    print(f"{'us/request':>12}{'us/stream':>12}{'us/event':>12}  checkout")
    for each in measured:
        found = (each.request_us[1:], each.stream_us[1:], each.event_us[1:])  # the first round only warms up
        print("".join(f"{statistics.median(values):>12.1f}" for values in found), "", each.checkout)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.gateway_cpu", description="Count the gateway's processor time.")
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT], help="trees to compare; this one by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of requests in a round")
    parser.add_argument("--python", type=Path, default=newest_engine(), help="of an engine environment, as on hosts")
    args = parser.parse_args()
    loads = [os.getloadavg()[0]]
    show(asyncio.run(run(args.checkouts, args.python, args.rounds, args.scale)))
    loads.append(os.getloadavg()[0])
    print(f"{args.rounds} rounds, load average {loads[0]:.1f} before and {loads[1]:.1f} after")
    return 0


if __name__ == "__main__":
    sys.exit(main())
