"""What is counted and logged about requests, and that nobody's words are."""

import asyncio
import logging
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import event_line
from gateway.metrics import WINDOW, Unexported, percentile
from gateway.request_context import RequestContext
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, staged


def test_percentiles_are_nearest_rank() -> None:
    assert percentile([], 50) is None
    assert percentile([7.0], 95) == 7.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.0
    assert percentile(map(float, range(1, 101)), 95) == 95.0


def test_the_window_of_a_busy_model_stays_bounded() -> None:
    stats = Unexported()
    for _ in range(WINDOW + 100):
        context = RequestContext(request_id="1", method="POST", route=CHAT, status=200)
        context.sent(1)
        stats.count(context)
    assert (stats.size, len(stats.latencies_s), len(stats.first_bytes_s)) == (WINDOW + 100, WINDOW, WINDOW)


def test_times_are_finer_than_the_event_loops_clock() -> None:
    class StandingClock(asyncio.SelectorEventLoop):
        """As uvloop's, which moves in milliseconds."""

        def time(self) -> float:
            return 0.0

    async def first_byte_s() -> float:
        context = RequestContext(request_id="1", method="POST", route=CHAT)
        time.sleep(0.001)
        context.sent(1)
        return context.ttfb_s or 0.0

    with asyncio.Runner(loop_factory=StandingClock) as runner:
        assert 0.0005 < runner.run(first_byte_s()) < 0.1


async def test_stats_tell_what_clients_of_earlier_servers_read_and_more(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=4)
    async with staged(tmp_path, engine, FakeEngine(name="b", is_healthy=False)) as stage:
        for body in ({"stream": True}, {}, {"temperature": 9}):
            async with stage.chat(**body) as answer:
                await answer.read()
        stats = await stage.json("/stats")
    assert stats["models_loaded"] == ["a"]
    assert stats["models_available"] == ["a", "b"]
    assert stats["config"]["streaming_enabled"] is True
    assert stats["config"]["lazy_loading"] == {"enabled": False}
    assert len(stats["config_digest"]) == 64
    assert stats["config_error"] is None
    assert stats["rss_bytes"] > 10_000_000
    figures = stats["models"]["a"]
    assert figures["state"] == "ready"
    assert (figures["requests_total"], figures["errors_total"], figures["in_flight"]) == (3, 1, 0)
    assert figures["streamed_events_total"] == 6  # the role, four tokens, [DONE]
    assert 0 < figures["time_to_first_byte_s"]["p50"] <= figures["latency_s"]["p95"]
    assert stats["models"]["b"]["requests_total"] == 0


async def test_metrics_are_labelled_by_what_is_served_never_by_what_is_asked(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        for model in ("a", "evil-1", "evil-2"):
            async with stage.chat(model) as answer:
                await answer.read()
        async with stage.session.get("/v1/evil-3") as answer:
            await answer.read()
        async with stage.session.get("/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            lines = (await answer.text()).splitlines()
    assert not [line for line in lines if "evil" in line]
    assert f'gateway_requests_total{{model="a",route="{CHAT}",status_class="2xx"}} 1.0' in lines
    assert f'gateway_requests_total{{model="-",route="{CHAT}",status_class="4xx"}} 2.0' in lines
    assert 'gateway_requests_total{model="-",route="-",status_class="4xx"} 1.0' in lines
    assert 'gateway_upstream_state{model="a",state="ready"} 1.0' in lines
    assert 'gateway_in_flight{model="a"} 0.0' in lines


async def test_each_request_is_one_line_without_a_word_of_the_prompt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="gateway")
    async with (
        staged(tmp_path, FakeEngine(name="a", token="ANSWER")) as stage,
        stage.session.post(
            CHAT,
            json={"model": "a", "messages": [{"role": "user", "content": "SECRET"}], "stream": True},
            headers={"X-Request-Id": "r-1"},
        ) as answer,
    ):
        size = len(await answer.read())
        await stage.json("/health")
    lines = [record.getMessage() for record in caplog.records if "event=request " in record.getMessage()]
    assert len(lines) == 1
    fields = dict(pair.split("=", 1) for pair in lines[0].split())
    timings = {key: float(fields.pop(key)) for key in ("ttfb_s", "duration_s")}
    assert 0 < timings["ttfb_s"] <= timings["duration_s"]
    assert fields == {
        "event": "request",
        "request_id": "r-1",
        "method": "POST",
        "route": CHAT,
        "model": "a",
        "status": "200",
        "bytes": str(size),
        "events": "5",
        "cancelled": "false",
    }
    assert "SECRET" not in caplog.text
    assert "ANSWER" not in caplog.text


@given(st.text())
def test_no_value_can_forge_a_line_or_a_key(value: str) -> None:
    line = event_line("x", key=value)
    assert line.isascii()
    assert line.isprintable()
    assert line.startswith("event=x key=")
    assert "=" not in line.removeprefix("event=x key=") or line.endswith('"')
