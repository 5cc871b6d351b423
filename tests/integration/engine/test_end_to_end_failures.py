"""An engine killed at work: its client is told, all of it goes, the others serve on, and the runner brings it back."""

import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support import processes
from tests.support.live_deployment import LOAD_S, REAL, TINY, LiveDeployment, SteadyClient
from tests.support.processes import Process
from tests.support.share import eventually
from tests.unit.gateway.test_sse import strict_events

pytestmark = pytest.mark.engine

ASK = {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}
ENDLESS = {"model": TINY, "max_tokens": 900, "ignore_eos": True, "stream": True}


def is_worker(process: Process) -> bool:
    return process.command.startswith("VLLM::Worker")


def is_api_server(process: Process) -> bool:
    return " serve --config " in process.command


def broken_stream(live: LiveDeployment, route: str, victim: Process) -> Iterator[bytes]:
    """Yield a stream's bytes; the victim dies when the first ones have arrived."""
    key = "messages" if route == "/v1/messages" else "prompt"
    with httpx.stream("POST", live.url + route, json={**ENDLESS, key: ASK[key]}, timeout=60) as answer:
        for number, piece in enumerate(answer.iter_raw()):
            if number == 0:
                processes.kill(victim)
            yield piece


def outcomes_until_it_answers(live: LiveDeployment) -> Iterator[httpx.Response]:
    deadline = time.monotonic() + LOAD_S
    while time.monotonic() < deadline:
        answer = live.post("/v1/completions", model=TINY, prompt="a", max_tokens=1)
        yield answer
        if answer.status_code == 200:
            return
        time.sleep(0.2)


def assert_it_came_back(outcomes: list[httpx.Response]) -> None:
    *refused, last = outcomes
    assert last.status_code == 200, "the runner did not bring the engine back"
    codes = [(answer.status_code, answer.json()["error"]["code"]) for answer in refused]
    unavailable = [answer for answer in refused if answer.status_code == 503]
    assert len(unavailable) > 10, codes[:20]
    assert {answer.headers["Retry-After"] for answer in unavailable} == {"5"}
    assert {code for _, code in codes} <= {"model_unreachable", "model_loading", "upstream_error"}


@pytest.mark.parametrize(
    ("is_victim", "route"),
    [(is_worker, "/v1/messages"), (is_api_server, "/v1/completions")],
    ids=["worker", "api-server"],
)
def test_a_killed_process_ends_its_engine_alone_and_the_engine_comes_back(
    live: LiveDeployment, is_victim: Callable[[Process], bool], route: str
) -> None:
    engine, other_engine = live.processes_of(TINY), live.processes_of(REAL)
    (victim,) = [process for process in engine if is_victim(process)]
    with SteadyClient(live, REAL) as other:
        body = b"".join(broken_stream(live, route, victim))
        killed = time.monotonic()
        eventually(lambda: not any(process.is_alive for process in engine), "nothing is left of the engine", 15)
        assert time.monotonic() - killed < 15
        outcomes = list(outcomes_until_it_answers(live))
    events = [data for _, data in strict_events(body)]
    assert len(events) > 1, "the stream had begun"
    if is_victim is is_worker and events[-1] == "[DONE]":
        events.pop()  # the engine itself had time to report its end, and vLLM says so even then
    assert "error" in json.loads(events[-1])
    assert "[DONE]" not in events
    assert_it_came_back(outcomes)
    assert other.failures == []
    assert other.whole >= 10
    assert all(process.is_alive for process in other_engine)
