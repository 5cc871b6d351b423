"""Streams through the gateway while everything around them breaks: python -m bench.gateway_chaos [--streams 10000]

Clients read whole answers, leave in the middle, leave at once, or read slowly. Meanwhile engines are killed and started
anew, or stop for a while, and the gateway reads its configuration again. Keys, pings and a bounded queue are on. At the
end: what was lost, merged or reordered, how fast engines learned that a client had left, and what the gateway still
holds. Exit status 1 where anything of that is not as it must be.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.chaos_report import LIMIT_MS, Outcome, cancel_latencies_ms, read_logs, summary

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("a", "b", "c")
KEYS = ("sk-chaos-one-0123456789", "sk-chaos-two-0123456789", "sk-chaos-three-01234567")
QUIET_S = 3.0
"""After the last stream, for everything to be let go."""
START_S = 60.0


@dataclass
class Engines:
    """The engine processes, and what was done to them."""

    directory: Path
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    logs: list[Path] = field(default_factory=list)
    kills: int = 0
    stops: list[tuple[str, int, int]] = field(default_factory=list)
    """Of which model, and from when to when, in nanoseconds."""

    async def start(self, model: str) -> None:
        log = self.directory / f"{model}-{len(self.logs)}.log"
        log.touch()
        self.logs.append(log)
        words = ("-m", "bench.chaos_engine", "--uds", str(self.directory / f"{model}.sock"), "--log", str(log))
        self.running[model] = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=ROOT)

    async def kill(self, model: str) -> None:
        begin_ns = time.monotonic_ns()
        self.running[model].kill()
        await self.running[model].wait()
        await self.start(model)
        self.kills += 1
        self.stops.append((model, begin_ns, time.monotonic_ns()))

    async def stop(self, model: str, seconds: float) -> None:
        begin_ns = time.monotonic_ns()
        self.running[model].send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.running[model].send_signal(signal.SIGCONT)
        self.stops.append((model, begin_ns, time.monotonic_ns() + 50_000_000))

    async def end(self) -> None:
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()


@dataclass
class Gateway:
    """The gateway's process."""

    process: asyncio.subprocess.Process
    port: int
    counts: Path
    reloads: int = 0

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)
        self.reloads += 1

    async def holds(self) -> tuple[int, int, float]:
        """Its tasks and its descriptors now, and how late its loop was so far, in ms at p99."""
        self.counts.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(START_S):
            while not self.counts.exists():
                await asyncio.sleep(0.05)
        tasks, descriptors, late_ms = self.counts.read_text().split()
        return int(tasks), int(descriptors), float(late_ms)

    async def get(self, path: str) -> str:
        async with (
            aiohttp.ClientSession(headers={"Connection": "close"}) as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return await answer.text()


@contextlib.asynccontextmanager
async def gateway_of(directory: Path) -> AsyncIterator[Gateway]:
    """Start it, with everything on."""
    models = [{"name": name, "socket": str(directory / f"{name}.sock"), "concurrency": 16} for name in MODELS]
    timeouts = {"ping_s": 0.2, "probe_interval_s": 0.2, "queue_s": 30, "hold_s": 5}
    config = {"listen": [{"port": 0}], "default_model": "a", "models": models, "max_held": 64, "timeouts": timeouts}
    (directory / "gateway.json").write_text(json.dumps({**config, "log_format": "json"}))
    (directory / "keys").write_text("".join(f"{key} name=caller{at}\n" for at, key in enumerate(KEYS)))
    words = ("--config", directory / "gateway.json", "--keys", directory / "keys", "--usage", directory / "usage")
    with (directory / "gateway.log").open("wb") as log:
        command = ("-m", "bench.chaos_gateway", directory / "counts", *words)
        process = await asyncio.create_subprocess_exec(sys.executable, *map(str, command), cwd=ROOT, stderr=log)
    try:
        async with asyncio.timeout(START_S):
            while b'"gateway.listening"' not in (text := (directory / "gateway.log").read_bytes()):
                await asyncio.sleep(0.05)
        said = next(json.loads(line) for line in text.splitlines() if b'"gateway.listening"' in line)
        yield Gateway(process, int(said["addresses"].rpartition(":")[2]), directory / "counts")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def stream(port: int, user: str, chance: random.Random) -> Outcome:
    """Ask for one stream, in one of the ways in which clients behave."""
    manner = chance.choices(("whole", "leave", "abrupt", "slow"), (55, 25, 10, 10))[0]
    # Who leaves must do so before the engine is through.
    events, gap_s = (60, 0.02) if manner == "leave" else (chance.randint(1, 40), chance.choice((0.0, 0.002, 0.01)))
    size = chance.choice((20, 200, 4000)) * (10 if manner == "slow" else 1)
    seen, key = Outcome(user=user, model=chance.choice(MODELS), asked_events=events), chance.choice(KEYS)
    asked = {"model": seen.model, "stream": True, "user": user, "events": events, "size": size, "gap_s": gap_s}
    body = json.dumps({**asked, "messages": []}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        if manner == "abrupt":
            await asyncio.sleep(chance.choice((0, 0.001, 0.02)))
            seen.left_ns = time.monotonic_ns()
            return seen
        await read_answer(reader, seen, manner, chance)
    except (asyncio.IncompleteReadError, ConnectionError):
        seen.is_cut = True
    finally:
        writer.transport.abort() if chance.random() < 0.5 else writer.close()
    return seen


async def read_answer(reader: asyncio.StreamReader, seen: Outcome, manner: str, chance: random.Random) -> None:
    """Read an answer to its end, or until the client has enough."""
    head = await reader.readuntil(b"\r\n\r\n")
    seen.status = int(head.split()[1])
    if seen.status != 200:
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        seen.code = json.loads(await reader.readexactly(length))["error"]["code"]
        return
    enough, text = chance.randint(1, 20), b""
    while size := int(await reader.readline(), 16):
        text += (await reader.readexactly(size + 2))[:-2]
        *whole, text = text.split(b"\n\n")
        for event in whole:
            seen.see(event)
        if manner == "leave" and len(seen.numbers) >= enough:
            seen.left_ns = time.monotonic_ns()
            return
        if manner == "slow":
            await asyncio.sleep(0.02)
    seen.foreign += bool(text)
    seen.is_cut = not (seen.is_done or seen.code)


async def watch_lag(late_ms: list[float]) -> None:
    """Note how late a sleep ends, until cancelled: what of the latencies is this computer's."""
    while True:
        due = time.monotonic() + 0.02
        await asyncio.sleep(0.02)
        late_ms.append((time.monotonic() - due) * 1e3)


async def break_things(engines: Engines, gateway: Gateway, chance: random.Random) -> None:
    """Kill, stop and reload until cancelled."""
    while True:
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        gateway.reload()
        model, what = chance.choice(MODELS), chance.random()
        if what < 0.35:
            await engines.kill(model)
        elif what < 0.5:
            await engines.stop(model, chance.uniform(0.1, 0.8))


async def chaos(directory: Path, streams: int, clients: int, seed: int) -> int:
    """Run it, print what became of it, and return the exit status."""
    engines, chance = Engines(directory), random.Random(seed)  # noqa: S311 - a seed, no secret
    outcomes, late_ms = list[Outcome](), list[float]()
    for model in MODELS:
        await engines.start(model)
    try:
        async with gateway_of(directory) as gateway:
            async with asyncio.timeout(START_S):
                while json.loads(await gateway.get("/stats"))["models_loaded"] != list(MODELS):
                    await asyncio.sleep(0.1)
            before, began = await gateway.holds(), time.monotonic()
            breaking = asyncio.create_task(break_things(engines, gateway, random.Random(seed + 1)))  # noqa: S311
            watching = asyncio.create_task(watch_lag(late_ms))
            numbers = iter(range(streams))

            async def ask_all() -> None:
                for number in numbers:
                    outcomes.append(await stream(gateway.port, str(number), random.Random(chance.random())))  # noqa: S311

            await asyncio.gather(*(ask_all() for _ in range(clients)))
            took_s = time.monotonic() - began
            breaking.cancel()
            watching.cancel()
            await asyncio.wait([breaking, watching])
            for process in engines.running.values():
                process.send_signal(signal.SIGCONT)
            await asyncio.sleep(QUIET_S)
            stats, after = json.loads(await gateway.get("/stats")), await gateway.holds()
    finally:
        await engines.end()
    print(f"{streams} streams by {clients} clients in {took_s:.0f} s; {engines.kills} kills, ", end="")
    print(f"{len(engines.stops) - engines.kills} stops, {gateway.reloads} reloads; seed {seed}")
    return told(outcomes, engines, sorted(late_ms), stats, before, after)


def at(ordered: list[float], quantile: float) -> float:
    """Return the nearest-rank quantile, 0 of nothing."""
    return ordered[math.ceil(len(ordered) * quantile) - 1] if ordered else 0.0


def told(
    outcomes: list[Outcome],
    engines: Engines,
    late_ms: list[float],
    stats: dict[str, dict[str, dict[str, int]]],
    before: tuple[int, int, float],
    after: tuple[int, int, float],
) -> int:
    """Print every figure; 1 where one is not as it must be."""
    counts = summary(outcomes)
    latencies, unheard = cancel_latencies_ms(outcomes, read_logs(engines.logs), engines.stops)
    p50, p99, late = at(latencies, 0.5), at(latencies, 0.99), at(late_ms, 0.99)
    left = {
        name: sum(model[name] for model in stats["models"].values()) for name in ("in_flight", "running", "waiting")
    }
    print("; ".join(f"{name}: {count}" for name, count in counts.items()))
    print(f"engines heard of {len(latencies)} departures: p50 {p50:.1f} ms, p99 {p99:.1f} ms; never: {unheard}")
    print(f"a timer was late by, at p99: {late:.1f} ms in the clients' process, {after[2]:.1f} ms in the gateway's")
    print(f"at the end: {left}; tasks {before[0]} -> {after[0]}, descriptors {before[1]} -> {after[1]}")
    faults = {name: counts[name] for name in ("lost", "merged", "reordered", "cut without a word") if counts[name]}
    faults |= {name: count for name, count in left.items() if count}
    faults |= {"never heard": unheard} if unheard else {}
    # Three processes have their turns until an engine knows: on a busy computer each comes late.
    faults |= {"p99 ms": round(p99)} if p99 > LIMIT_MS + 2 * late + after[2] else {}
    # Each model may keep as many idle connections to its engine as it had at once.
    faults |= {"tasks": after[0] - before[0]} if after[0] > before[0] + len(MODELS) else {}
    faults |= {"descriptors": after[1] - before[1]} if after[1] > before[1] + 16 * len(MODELS) else {}
    print(f"not as it must be: {faults}" if faults else "all as it must be")
    return 1 if faults else 0


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(
        prog="bench.gateway_chaos", description=__doc__.partition("\n")[0] if __doc__ else ""
    )
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2)))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="axion-chaos-") as directory:
        return asyncio.run(chaos(Path(directory), args.streams, args.clients, args.seed))


if __name__ == "__main__":
    sys.exit(main())
