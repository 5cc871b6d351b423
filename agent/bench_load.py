"""Run load generators beside each other, on the host itself, and read the engines' own counters before and after.

    vllm bench serve ... --save-result --save-detailed

It runs on an engine environment's Python, whose `vllm` it starts. A generator that does not end in time is ended.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from agent.bench_messages import Generated, Generator, LoadOrder, LoadResult
from agent.process_tree import signal_on_parent_death
from agent.unix_http import TcpConnection, call
from agent.wait_ready import own_key

PAGE_TIMEOUT_S = 20
SETTLE_S = 3.0
"""An engine counts a step a moment after its tokens have left."""
BEGINS = "Starting main benchmark run"
COUNTERS = (
    *("generation_tokens_total", "prompt_tokens_total", "prefix_cache_hits_total", "prefix_cache_queries_total"),
    *("num_preemptions_total", "request_success_total", "iteration_tokens_total_count"),
)
SAMPLE = re.compile(r'vllm:(\w+)\{model="([^"]*)"[^}]*\} (\S+)')
TOLD_BYTES = 1500


def counters_of(page: str, model: str) -> dict[str, float]:
    """Sum an engine's counters over their other labels."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        if (sample := SAMPLE.fullmatch(line)) and sample[2] == model and sample[1] in COUNTERS:
            found[sample[1]] = found.get(sample[1], 0.0) + float(sample[3])
    return found


def counters(order: LoadOrder) -> dict[str, dict[str, float]]:
    """Read every asked engine's counters from the gateway's page."""
    connection = TcpConnection(order.gateway, PAGE_TIMEOUT_S)
    status, body = call(connection, "GET", "/metrics", key=own_key(order.keys))
    page = body.decode(errors="replace") if status == 200 else ""
    return {each.model: counters_of(page, each.model) for each in order.generators}


def cpu_s(pid: int) -> float:
    """Processor time of a process so far; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Running:
    """A generator at work. What it prints is read to know when its requests begin, and kept for when it fails."""

    def __init__(self, order: LoadOrder, generator: Generator, directory: Path) -> None:
        self.file = directory / f"{generator.model}.json"
        where = ("--base-url", f"http://{order.gateway}", "--result-dir", str(directory))
        program = str(Path(sys.executable).with_name("vllm"))
        key = own_key(order.keys)
        self.process = subprocess.Popen(
            [program, *generator.arguments, *where, "--result-filename", self.file.name],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}
            | ({"OPENAI_API_KEY": key} if key else {}),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True,
            # An agent that was killed leaves no load behind. One C call, which needs no lock.
            preexec_fn=partial(signal_on_parent_death, signal.SIGKILL, os.getpid()),  # noqa: PLW1509
        )  # fmt: skip
        self.said = ""
        self.used_before_s = self.used_s = 0.0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None, "it is a pipe"
        for line in self.process.stdout:
            self.said = (self.said + line)[-TOLD_BYTES:]
            if line.startswith(BEGINS):
                self.used_before_s = cpu_s(self.process.pid)
            self.used_s = cpu_s(self.process.pid) or self.used_s

    def end(self, until: float) -> str:
        """Wait for its end; return why it left no result, or nothing."""
        try:
            status = self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return "not done in time"
        finally:
            self.kill()
        self._reader.join(5)
        return f"ended with {status}: {self.said.strip()}" if status or not self.file.is_file() else ""

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run(order: LoadOrder) -> LoadResult:
    """Start all, wait for all, count."""
    before = counters(order)
    until = time.monotonic() + order.timeout_s
    running: dict[str, Running] = {}
    results: dict[str, dict[str, object]] = {}
    problems: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="axion-bench-") as name:
        try:
            for each in order.generators:
                running[each.model] = Running(order, each, Path(name))
            for model, one in running.items():
                problems[model] = one.end(until)
                if not problems[model]:
                    results[model] = json.loads(one.file.read_text())
        finally:
            for one in running.values():
                one.kill()
    after = _settled(order, before, results)
    return LoadResult(
        {
            model: Generated(
                result=results.get(model),
                problem=problems[model],
                cpu_s=max(0.0, one.used_s - one.used_before_s),
                before=before[model],
                after=after[model],
            )
            for model, one in running.items()
        }
    )


def _settled(
    order: LoadOrder, before: Mapping[str, Mapping[str, float]], results: Mapping[str, Mapping[str, object]]
) -> dict[str, dict[str, float]]:
    """Read the counters again until they have what the clients got, for a moment at most."""
    until, name = time.monotonic() + SETTLE_S, "generation_tokens_total"
    while True:
        after = counters(order)
        short = [
            model
            for model, result in results.items()
            if after[model].get(name, 0) - before[model].get(name, 0) < float(str(result["total_output_tokens"]))
        ]
        if not short or time.monotonic() > until:
            return after
        time.sleep(0.2)


def main() -> None:
    print(run(LoadOrder.from_json(sys.stdin.read())).to_json())
