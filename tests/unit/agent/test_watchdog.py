"""When an engine is taken to be alive: the decision as a table, and what systemd hears of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent import notify, watchdog
from agent.watchdog import Look, Seen, Verdict, Watchdog, is_to_be_asked, judge, load_of, look_at, metrics_of
from tests.support.fakes.engine import FakeEngine, running

SEEN = Seen(answered_s=100.0, alive_s=100.0, stepped_s=90.0, steps=7.0)
SILENT = Look(answers=False, in_flight=None, steps=None)


def look(in_flight: float | None, steps: float | None) -> Look:
    return Look(answers=True, in_flight=in_flight, steps=steps)


@pytest.mark.parametrize(
    ("found", "now_s", "verdict"),
    [
        (look(0, 7), 110, Verdict.FEED),  # nothing to do
        (look(0, 7), 9999, Verdict.FEED),
        (look(3, 8), 110, Verdict.FEED),  # a step was finished
        (look(3, 7), 110, Verdict.WITHHOLD),  # perhaps a long step: its allowance is systemd's period
        (look(1, 0), 110, Verdict.FEED),  # another engine process
        (look(None, 7), 110, Verdict.FEED),  # no figure that could be judged
        (look(3, None), 110, Verdict.FEED),
        (SILENT, 110, Verdict.WITHHOLD),
        (SILENT, 159.9, Verdict.WITHHOLD),
        (SILENT, 160, Verdict.TRIGGER),
    ],
)
def test_only_an_engine_that_works_or_has_nothing_to_do_is_fed(found: Look, now_s: float, verdict: Verdict) -> None:
    assert judge(SEEN, found, now_s)[1] is verdict


def test_an_engine_that_answers_without_working_is_remembered_as_answering_only() -> None:
    seen, _ = judge(SEEN, look(3, 7), 130)
    assert seen == Seen(answered_s=130, alive_s=100, stepped_s=90, steps=7)
    assert judge(seen, SILENT, 189)[1] is Verdict.WITHHOLD
    assert judge(seen, SILENT, 190)[1] is Verdict.TRIGGER


@pytest.mark.parametrize(
    ("found", "now_s", "is_asked"),
    [
        (look(0, 7), 179.9, False),
        (look(0, 7), 180, True),  # nothing to do, and no step for half a period
        (look(1, 7), 999, False),  # it has work to prove itself with
        (look(0, None), 999, False),  # whether it takes a step would not be seen
        (look(None, 7), 999, False),
        (SILENT, 999, False),
    ],
)
def test_an_engine_without_work_is_asked_after_half_a_period_without_a_step(
    found: Look, now_s: float, is_asked: bool
) -> None:
    assert is_to_be_asked(SEEN, found, now_s, 180) is is_asked


class Asked:
    """A question as the watchdog holds it."""

    def __init__(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


def ask_into(asked: list[Any]) -> Any:
    asked.append(Asked())
    return asked[-1]


def test_an_idle_engine_that_hangs_is_found_out_by_a_question(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sent: list[str] = []
    monkeypatch.setattr(watchdog, "send", sent.append)
    looks = iter([look(0, 1), look(0, 1), look(1, 2), look(0, 2), look(0, 2), look(1, 2), look(1, 2)])
    now, asked = [0.0], list[Any]()
    dog = Watchdog(
        address=tmp_path / "x",
        period_s=60,
        look=lambda _: next(looks),
        ask=lambda _: ask_into(asked),
        clock=lambda: now[0],
    )
    open_after = []
    for now[0] in (0, 30, 40, 50, 70, 80, 90):
        dog.tick()
        open_after.append([each.is_open for each in asked])
    # Asked at 30 s, answered by a step at 40 s; asked again at 70 s, and no step ever comes.
    assert open_after == [[], [True], [False], [False], [False, True], [False, True], [False, True]]
    assert sent[:5] == ["WATCHDOG=1"] * 5
    assert sent[5:] == ["STATUS=1 requests and no step for 10 s", "STATUS=1 requests and no step for 20 s"]


def test_an_engine_that_refuses_the_question_is_asked_again_and_no_connection_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(watchdog, "send", lambda _said: None)
    now, asked = [0.0], list[Any]()
    dog = Watchdog(
        address=tmp_path / "x",
        period_s=60,
        look=lambda _: look(0, 1),
        ask=lambda _: ask_into(asked),
        clock=lambda: now[0],
    )
    for now[0] in (0, 30, 40, 50):
        dog.tick()
    assert [each.is_open for each in asked] == [False, False, True]


async def test_the_question_is_one_token_and_shows_as_a_request_until_it_is_answered(tmp_path: Path) -> None:
    engine, path = FakeEngine(name="a"), tmp_path / "a.sock"
    async with running(engine, path):
        connection = await asyncio.to_thread(watchdog.ask, path)
        assert connection is not None
        answer = await asyncio.to_thread(connection.getresponse)
        assert answer.status == 200
        connection.close()
    (received,) = engine.received
    assert received.path == "/v1/completions"
    assert json.loads(received.body) == {"prompt": [1], "max_tokens": 1}
    assert watchdog.ask(path) is None


METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
vllm:num_requests_running{engine="0",model_name="a"} 2.0
vllm:num_requests_running{engine="1",model_name="a"} 1.0
vllm:num_requests_waiting{engine="0",model_name="a"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a",reason="capacity"} 9.0
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="a"} 5.0
vllm:iteration_tokens_total_count{engine="0",model_name="a"} 12.0
vllm:iteration_tokens_total_sum{engine="0",model_name="a"} 300.0
"""


def test_the_figures_of_all_engine_cores_are_added_and_no_others() -> None:
    assert metrics_of(METRICS) == {
        "vllm:num_requests_running": 3.0,
        "vllm:num_requests_waiting": 4.0,
        "vllm:iteration_tokens_total_count": 12.0,
    }
    assert metrics_of("vllm:num_requests_running{} nonsense\n") == {}


@pytest.mark.parametrize(
    ("text", "load"),
    [('{"server_load": 3}', 3.0), ("", None), ("{}", None), ("[]", None), ('{"server_load": []}', None)],
)
def test_the_load_is_read_or_unknown(text: str, load: float | None) -> None:
    assert load_of(text) == load


async def test_an_engine_is_looked_at_over_its_socket(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", server_load=2, steps=5)
    path = tmp_path / "a.sock"
    async with running(engine, path):
        # The gauges come from the core and lag behind; the larger count is the truth.
        assert await asyncio.to_thread(look_at, path) == Look(answers=True, in_flight=2, steps=5)
        engine.server_load = 0
        assert await asyncio.to_thread(look_at, path) == Look(answers=True, in_flight=0, steps=5)
    assert await asyncio.to_thread(look_at, path) == SILENT


def test_systemd_is_fed_in_time_and_told_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(watchdog, "send", sent.append)
    looks = iter([look(0, 1), look(2, 1), look(2, 1), look(2, 2), SILENT, SILENT])
    now = [0.0]
    dog = Watchdog(address=tmp_path / "x", period_s=180, look=lambda _: next(looks), clock=lambda: now[0])
    for now[0] in (0, 1, 9.9, 10, 20, 30, 40, 100):
        dog.tick()
    assert sent == [
        "WATCHDOG=1",
        "STATUS=2 requests and no step for 10 s",
        "STATUS=2 requests and no step for 20 s",
        "WATCHDOG=1\nSTATUS=serving",
        "STATUS=no answer for 10 s",
        "STATUS=no answer for 70 s",
        "WATCHDOG=trigger",
    ]


@pytest.mark.parametrize(
    ("environment", "period_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "180000000"}, 180.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "7"}, 180.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
    ],
)
def test_the_watchdog_is_fed_only_where_systemd_asks_this_process(
    environment: dict[str, str], period_s: float | None
) -> None:
    assert notify.watchdog_period_s(environment, 7) == period_s
