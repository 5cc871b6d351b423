"""What lending cores is worth in real vLLM: two engines with one home core each, lent and not, in turns in one run.

    PYTHONPATH=SITE ENGINE_PYTHON kernels/bench/lending_serving.py MODEL [--rounds 5] [--tokens 64] [--batch 1]

SITE holds the unpacked wheel axion_kernels. Five engines are loaded: two under `elastic`, two under `disjoint`, each
pair at home on the same two cores, and one that has both cores for its own, which is the most that lending can reach.
Each round asks that one, and of each pair one alone and then both at once; who is not asked rests. Every answer is
greedy and is compared with what `disjoint` answered first. Last, one engine answers at length while the other is asked
again and again: how long it takes to have its core back is measured in its worker, from the moment it says that it
steps until the last guest has been moved.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESTED_S = 1.5
"""vLLM's own processes look for work for a second after a step, which would disturb the other pair."""


def serve(model: str, options: Mapping[str, Any]) -> None:
    """Answer lines {"prompts", "tokens"} on stdin with the tokens and the seconds; "returns": {} asks the worker."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # vLLM logs to stdout, from its import on
    from vllm import LLM, SamplingParams  # noqa: PLC0415  # only the children need it, and it takes seconds

    llm = LLM(model, max_model_len=512, max_num_seqs=8, kv_cache_memory_bytes=128 << 20, **options)
    is_lent = "AXION_CORES" in os.environ
    if is_lent:
        llm.collective_rpc(watch_returns)
    print("{}", file=answers)
    for line in sys.stdin:
        work = json.loads(line)
        if "returns" in work:
            print(json.dumps(llm.collective_rpc(returns)[0] if is_lent else []), file=answers)
            continue
        sampling = SamplingParams(temperature=0, max_tokens=work["tokens"], ignore_eos=True)
        prompts: Any = [{"prompt_token_ids": prompt} for prompt in work["prompts"]]
        start = time.perf_counter()
        outputs = llm.generate(prompts, sampling, use_tqdm=False)
        seconds = time.perf_counter() - start
        tokens = [list(output.outputs[0].token_ids) for output in outputs]
        print(json.dumps({"seconds": seconds, "tokens": tokens}), file=answers)


def watch_returns(worker: Any) -> None:
    """In the worker: note each time that guests had to leave how long that took, in ns, and how many stayed."""
    from axion_kernels import lending  # noqa: PLC0415

    taken_back: list[tuple[int, int]] = []
    announce, send_home = lending.Lender._announce, lending.Lender._send_home
    begun = [0]

    def timed_announce(self: Any, kind: Any) -> None:
        begun[0] = time.monotonic_ns()
        announce(self, kind)

    def timed_send_home(self: Any, other: Any) -> None:
        here = [thread for thread, core in other.guests() if core in self._setting.home]
        send_home(self, other)
        took_ns = time.monotonic_ns() - begun[0]
        if here:
            taken_back.append((took_ns, sum(_runs_on(thread) in self._setting.home for thread in here)))

    lending.Lender._announce = timed_announce  # type: ignore[method-assign] # to measure it
    lending.Lender._send_home = timed_send_home  # type: ignore[method-assign] # to measure it
    lending.__dict__["taken_back"] = taken_back


def _runs_on(thread: int) -> int:
    """The core that a thread runs on; none when it sleeps or has ended."""
    try:
        fields = Path(f"/proc/{thread}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return int(fields[36]) if fields[0] == "R" else -1


def returns(worker: Any) -> list[tuple[int, int]]:
    from axion_kernels import lending  # noqa: PLC0415

    taken_back: list[tuple[int, int]] = lending.__dict__["taken_back"]
    found = taken_back[:]
    taken_back.clear()
    return found


class Server:
    """An engine at home on one of two cores, or on both."""

    def __init__(
        self, folder: Path, model: str, options: Mapping[str, Any], *, cores: str, is_lent: bool,
        python: str = sys.executable, **variables: str,
    ) -> None:  # fmt: skip
        self.name = f"{'elastic' if is_lent else 'disjoint'}-{cores}"
        self.log = folder / f"{self.name}.log"
        lent = {"table": str(folder / "table"), "name": self.name, "home": cores, "compute": cores, "all": "0-1"}
        environment = {
            **os.environ, "OMP_NUM_THREADS": "2" if cores == "0-1" else "1", "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1", "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",
            "VLLM_CACHE_ROOT": str(folder / self.name), "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            **variables, "VLLM_CPU_OMP_THREADS_BIND": "nobind" if is_lent else cores,
            **({"AXION_CORES": json.dumps(lent)} if is_lent else {}),
        }  # fmt: skip
        allowed = "0-1" if is_lent else cores
        command = ["taskset", "-c", allowed, python, "-P", __file__, model, "--serve", json.dumps(options)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip

    def ask(self, work: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(work) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended: {self.log.read_text()[-3000:]}")
        return json.loads(line)


class Bench:
    """Two pairs of engines, asked in turns; every answer is compared."""

    def __init__(self, pairs: Mapping[str, Sequence[Server]], batch: int, tokens: int) -> None:
        self.pairs, self.batch, self.tokens = pairs, batch, tokens
        self.prompts = [[*range(100 + 7 * row, 120 + 7 * row)] for row in range(batch)]
        self.expected: dict[int, list[list[int]]] = {}
        self.compared = self.different = 0

    def together(self, servers: Sequence[Server], tokens: int | None = None) -> list[float]:
        """Tokens per second of each, asked at the same time."""
        asked = tokens or self.tokens
        for server in servers:
            server.ask({"prompts": self.prompts, "tokens": asked})
        speeds = []
        for server in servers:
            got = server.answer()
            expected = self.expected.setdefault(asked, got["tokens"])
            self.compared += 1
            self.different += got["tokens"] != expected
            speeds.append(self.batch * asked / got["seconds"])
        return speeds

    def rounds(self, count: int) -> dict[str, list[float]]:
        speeds: dict[str, list[float]] = {}
        for pair in ("disjoint", "elastic", "both cores"):  # first: what disjoint answers is what all are compared with
            for server in self.pairs[pair]:
                self.together([server])
        for _ in range(count):
            time.sleep(RESTED_S)
            speeds.setdefault("both cores alone", []).extend(self.together(self.pairs["both cores"]))
            for pair in ("disjoint", "elastic"):
                time.sleep(RESTED_S)
                speeds.setdefault(f"{pair} alone", []).extend(self.together(self.pairs[pair][:1]))
                time.sleep(RESTED_S)
                speeds.setdefault(f"{pair} both", []).extend(self.together(self.pairs[pair]))
        return {name: [round(statistics.median(found), 1), *(round(f(found), 1) for f in (min, max))]
                for name, found in speeds.items()}  # fmt: skip

    def give_back(self, times: int) -> dict[str, float]:
        """Ask one for short answers, with pauses, while the other works on a long one."""
        long, short = self.pairs["elastic"]
        short.ask({"returns": True})
        short.answer()
        for _ in range(times):
            long.ask({"prompts": self.prompts, "tokens": 2 * self.tokens})
            time.sleep(0.3)
            self.together([short], 8)
            long_answer = long.answer()
            expected = self.expected.setdefault(2 * self.tokens, long_answer["tokens"])
            self.compared += 1
            self.different += long_answer["tokens"] != expected
        short.ask({"returns": True})
        took = sorted(short.answer())
        found = [ns / 1e6 for ns, _ in took]
        if not found:
            return {"returns": 0}
        return {
            "returns": len(found), "median_ms": round(statistics.median(found), 3),
            "p99_ms": round(found[min(len(found) - 1, int(0.99 * len(found)))], 3), "worst_ms": round(found[-1], 3),
            "guests_left": sum(left for _, left in took),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--returns", type=int, default=20, help="how often a core is taken back")
    parser.add_argument("--options", type=json.loads, default={}, help="arguments of vLLM's LLM, in JSON")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve is not None:
        serve(asked.model, asked.serve)
        return
    options = {"dtype": "bfloat16", "enforce_eager": True, **asked.options}
    with tempfile.TemporaryDirectory() as made:
        pairs = {
            how: [Server(Path(made), asked.model, options, cores=core, is_lent=how == "elastic") for core in "01"]
            for how in ("disjoint", "elastic")
        }
        pairs["both cores"] = [Server(Path(made), asked.model, options, cores="0-1", is_lent=False)]
        servers = [server for pair in pairs.values() for server in pair]
        try:
            for server in servers:
                server.answer()
            bench = Bench(pairs, asked.batch, asked.tokens)
            print(json.dumps({"machine": os.uname().machine, "batch": asked.batch, **options}), flush=True)
            speeds = bench.rounds(asked.rounds)
            for name, (median, low, high) in speeds.items():
                print(json.dumps({"tokens_per_s": name, "median": median, "range": [low, high]}), flush=True)
            ratio: Callable[[str], float] = lambda how: round(  # noqa: E731
                speeds[f"elastic {how}"][0] / speeds[f"disjoint {how}"][0], 3
            )
            of_both = round(speeds["elastic alone"][0] / speeds["both cores alone"][0], 3)
            told = {"alone": ratio("alone"), "alone, of both cores": of_both, "both": ratio("both")}
            print(json.dumps(told), flush=True)
            print(json.dumps(bench.give_back(asked.returns)), flush=True)
            print(json.dumps({"answers": bench.compared, "different": bench.different}), flush=True)
        finally:
            for server in servers:
                os.killpg(server.process.pid, 9)
    sys.exit(bench.different > 0)


if __name__ == "__main__":
    main()
