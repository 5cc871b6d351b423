"""Feed systemd's watchdog for one engine: while it works or has nothing to do, and not while it hangs.

`/health` alone proves nothing: vLLM's API server answers it while the process that computes stands still. What proves
work is the count of finished steps. What proves idleness is the API server's own count of requests (`/load`): the
gauges in `/metrics` come from the computing process with each finished step, so an engine that hangs in its first step
after a pause still shows none. An engine that nobody uses, or that clients give up on before anybody looks, is asked
for one token twice a period. The watchdog's period is how long a single step may take.
"""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from agent.leftovers import log
from agent.notify import send
from agent.unix_http import UnixConnection, call

CALL_TIMEOUT_S = 2.0
SILENT_S = 60.0
"""An API server that answers nothing for so long is given up at once: no step of a model is its excuse."""
LOOKS_PER_PERIOD = 6
LONGEST_PAUSE_S = 10.0
STEPS = "vllm:iteration_tokens_total_count"
QUESTION = json.dumps({"prompt": [1], "max_tokens": 1})
"""A token that every vocabulary has; without a model's name it is for the one that is served."""
QUEUED = ("vllm:num_requests_running", "vllm:num_requests_waiting")


class Verdict(Enum):
    """What systemd should hear."""

    FEED = "feed"
    WITHHOLD = "withhold"
    TRIGGER = "trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at an engine found."""

    answers: bool
    in_flight: float | None
    """Requests that it has, as far as it says."""
    steps: float | None
    """Steps that it has finished since it started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What earlier looks have shown."""

    answered_s: float
    """When it answered last."""
    alive_s: float
    """When it last worked, or had nothing to do."""
    stepped_s: float
    """When it last was seen to have finished a step."""
    steps: float | None = None


def judge(seen: Seen, look: Look, now_s: float) -> tuple[Seen, Verdict]:
    """Decide whether an engine is alive. One whose figures cannot be read is: a renamed metric must not kill it."""
    if not look.answers:
        return seen, Verdict.TRIGGER if now_s - seen.answered_s >= SILENT_S else Verdict.WITHHOLD
    is_blind = look.in_flight is None or look.steps is None
    if is_blind or look.in_flight == 0 or look.steps != seen.steps:
        stepped_s = seen.stepped_s if look.steps == seen.steps else now_s
        return Seen(answered_s=now_s, alive_s=now_s, stepped_s=stepped_s, steps=look.steps), Verdict.FEED
    return replace(seen, answered_s=now_s), Verdict.WITHHOLD


def is_to_be_asked(seen: Seen, look: Look, now_s: float, period_s: float) -> bool:
    """Whether nothing has proven for half a period that an engine which has nothing to do could do something."""
    return look.in_flight == 0 and look.steps is not None and now_s - seen.stepped_s >= period_s / 2


def fetch(address: Path, path: str) -> str | None:
    """Get a page from an engine; None without an answer, empty for one that is not a 200."""
    status, body = call(UnixConnection(address, CALL_TIMEOUT_S), "GET", path)
    return None if status == 0 else body.decode("utf-8", "replace") if status == 200 else ""


def ask(address: Path) -> http.client.HTTPConnection | None:
    """Ask for one token and do not wait for it: the request itself shows in `/load` until it is answered."""
    connection = UnixConnection(address, CALL_TIMEOUT_S)
    try:
        connection.request("POST", "/v1/completions", QUESTION, {"Content-Type": "application/json"})
    except OSError:
        connection.close()
        return None
    return connection


def look_at(address: Path) -> Look:
    """Look once; blocks for at most a few times CALL_TIMEOUT_S."""
    # /health last: a 503 there is an engine that has failed, and one that hangs while it is asked did not answer.
    pages = {path: fetch(address, path) for path in ("/metrics", "/load")}
    health = fetch(address, "/health") if None not in pages.values() else None
    figures = metrics_of(pages["/metrics"] or "")
    queued = [figures[name] for name in QUEUED if name in figures]
    counts = [count for count in (load_of(pages["/load"] or ""), *queued) if count is not None]
    return Look(answers=health is not None, in_flight=max(0.0, *counts) if counts else None, steps=figures.get(STEPS))


def metrics_of(text: str) -> Mapping[str, float]:
    """Sum the figures that matter here over their labels."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        name = line.partition("{")[0]
        if name in (STEPS, *QUEUED):
            try:
                sums[name] = sums.get(name, 0.0) + float(line.rpartition(" ")[2])
            except ValueError:
                continue
    return sums


def load_of(text: str) -> float | None:
    """Read the API server's count of requests in flight."""
    try:
        return float(json.loads(text)["server_load"])
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(slots=True, kw_only=True)
class Watchdog:
    """Looks at one engine in turns and tells systemd; the launcher calls it about once a second."""

    address: Path
    period_s: float
    look: Callable[[Path], Look] = look_at
    ask: Callable[[Path], http.client.HTTPConnection | None] = ask
    clock: Callable[[], float] = time.monotonic
    seen: Seen | None = None
    question: http.client.HTTPConnection | None = None
    next_s: float = field(default=float("-inf"))
    is_worried: bool = False

    def tick(self) -> None:
        """Look when it is time to, and feed, or say why not."""
        now_s = self.clock()
        if now_s < self.next_s:
            return
        look = self.look(self.address)
        now_s = self.clock()
        self.next_s = now_s + min(LONGEST_PAUSE_S, self.period_s / LOOKS_PER_PERIOD)
        before = self.seen or Seen(answered_s=now_s, alive_s=now_s, stepped_s=now_s)
        self.seen, verdict = judge(before, look, now_s)
        self._question(look, now_s)
        if verdict is Verdict.FEED:
            send("WATCHDOG=1\nSTATUS=serving" if self.is_worried else "WATCHDOG=1")
            self.is_worried = False
            return
        what = f"{look.in_flight:g} requests and no step" if look.answers and look.in_flight else "no answer"
        trouble = f"{what} for {now_s - self.seen.alive_s:.0f} s"
        send(f"STATUS={trouble}")
        if not self.is_worried:
            self.is_worried = True
            log(f"{trouble}: unless that changes, it is restarted within {self.period_s:g} s")
        if verdict is Verdict.TRIGGER:
            log(f"{trouble}: asking for a restart")
            send("WATCHDOG=trigger")

    def _question(self, look: Look, now_s: float) -> None:
        """Keep the question until it is answered: closed earlier it would be taken for a client that gave up."""
        assert self.seen is not None
        if self.question is not None and (self.seen.stepped_s == now_s or look.in_flight == 0):
            self.question.close()
            self.question = None
        if is_to_be_asked(self.seen, look, now_s, self.period_s):
            self.question = self.ask(self.address)
