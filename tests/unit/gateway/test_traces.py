"""Spans of requests, as a collector on the same host gets them."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes

from gateway import traces
from gateway.traces import Parent, parent_of
from tests.support.fakes.collector import Collector, collecting, values
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_process import spawn
from tests.unit.gateway.test_stage import CHAT, Stage, config_json, eventually, staged

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", Parent(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", Parent(TRACE, SPAN, False)),
        (f"00-{TRACE}-{SPAN}-03", Parent(TRACE, SPAN, True)),
        (f"cc-{TRACE}-{SPAN}-01-what the future adds", Parent(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        ("", None),
        (None, None),
    ],
)
def test_a_parent_is_read_as_trace_context_says(header: str | None, expected: Parent | None) -> None:
    assert parent_of(header) == expected


async def spans_of(stage: Stage, collector: Collector) -> list[dict[str, Any]]:
    await stage.gateway.traces.send()
    return collector.spans


async def test_each_request_is_a_span_with_published_names_and_no_word_of_the_prompt(tmp_path: Path) -> None:
    collector, began_ns = Collector(), time.time_ns()
    socket = tmp_path / "otlp.sock"
    async with (
        collecting(socket, collector),
        staged(tmp_path, FakeEngine(name="a", token="my answer"), otlp_socket=str(socket)) as stage,
    ):
        asked = {"model": "a", "messages": [{"role": "user", "content": "my secret"}]}
        header = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        async with stage.session.post(CHAT, json=asked, headers=header) as answer:
            request_id = answer.headers["X-Request-Id"]
        async with stage.chat("nobody"):
            pass
        async with stage.session.get("/stats"):
            pass  # asked by machines every few seconds
        first, second = await spans_of(stage, collector)
    assert (first["traceId"], first["parentSpanId"]) == (TRACE, SPAN)
    assert (first["name"], first["kind"], "status" in first) == ("POST /v1/chat/completions", 2, False)
    assert began_ns < int(first["startTimeUnixNano"]) < int(first["endTimeUnixNano"]) < time.time_ns()
    told = values(first["attributes"])
    assert 0 < told.pop("axion.time_to_first_byte_s") < 10
    assert told == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "a",
        "gen_ai.usage.input_tokens": 1,
        "gen_ai.usage.output_tokens": 3,
        "axion.request_id": request_id,
    }
    assert "parentSpanId" not in second
    assert second["traceId"] not in (TRACE, "0" * 32)
    refused = values(second["attributes"])
    assert (refused["http.response.status_code"], refused["error.type"]) == (404, "model_not_found")
    assert "status" not in second, "a client's mistake"
    modules = (gen_ai_attributes, http_attributes, error_attributes)
    published = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    assert {key for key in told.keys() | refused.keys() if not key.startswith("axion.")} <= published
    assert (collector.resources[0]["service.name"], "my " in str(collector.requests)) == ("axion-gateway", False)


async def test_a_failed_stream_is_an_error_and_who_takes_no_part_has_no_span(tmp_path: Path) -> None:
    collector, socket = Collector(), tmp_path / "otlp.sock"
    engine = FakeEngine(name="a", tokens=5, failure="die_mid_stream")
    async with collecting(socket, collector), staged(tmp_path, engine, otlp_socket=str(socket)) as stage:
        async with stage.chat(stream=True) as answer:
            await answer.read()
        header = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
        async with stage.session.post(CHAT, json={"model": "a", "messages": []}, headers=header):
            pass
        (span,) = await spans_of(stage, collector)
    assert span["status"] == {"code": 2, "message": "upstream_error"}


async def lost(stage: Stage) -> float:
    async with stage.session.get("/metrics") as answer:
        page = await answer.text()
    return float(page.partition("\ngateway_spans_lost_total ")[2].split("\n")[0])


async def test_no_request_waits_for_a_collector_and_spans_wait_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "WAITING_MAX", 3)
    collector, socket = Collector(), tmp_path / "otlp.sock"
    async with staged(tmp_path, FakeEngine(name="a"), otlp_socket=str(socket)) as stage:
        for _ in range(5):
            async with stage.chat() as answer:
                assert answer.status == 200
        await stage.gateway.traces.send()  # nobody listens
        assert await lost(stage) == 2
        async with collecting(socket, collector):
            for status, expected in ((503, 0), (200, 3)):
                collector.status = status
                assert len(await spans_of(stage, collector)) == expected
            collector.status = 400
            async with stage.chat():
                pass
            await stage.gateway.traces.send()
            collector.status = 200
            assert len(await spans_of(stage, collector)) == 3, "what is refused for good is not sent again"
        assert await lost(stage) == 3


async def test_without_a_collector_nothing_is_kept(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        async with stage.chat():
            pass
        assert stage.gateway.traces.waiting == 0


async def test_a_gateway_that_stops_sends_what_it_has(tmp_path: Path) -> None:
    collector, socket, config = Collector(), tmp_path / "otlp.sock", tmp_path / "gateway.json"
    config.write_bytes(config_json(tmp_path, "a", otlp_socket=str(socket)))
    async with collecting(socket, collector), running(FakeEngine(name="a"), tmp_path / "a.sock"):
        process = await spawn("--config", str(config))
        line = await process.logged("gateway.listening")
        port = int(line.partition("addresses=127.0.0.1:")[2].split()[0])
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{port}{CHAT}", json={"model": "b", "messages": []}) as answer,
        ):
            assert answer.status == 404
        process.child.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
        await eventually(lambda: len(collector.spans) == 1)
    assert json.loads(collector.requests[0])


async def test_a_collector_refuses_what_the_protocol_does_not_have(tmp_path: Path) -> None:
    """The other tests would be worth nothing with one that takes everything."""
    collector, socket = Collector(), tmp_path / "otlp.sock"
    whole = traces.document_of([{"traceId": TRACE, "spanId": SPAN, "name": "x"}])
    odd = [
        traces.document_of([{"traceId": TRACE, "spanId": SPAN[1:], "name": "x"}]),
        traces.document_of([{"traceId": "0" * 32, "spanId": SPAN, "name": "x"}]),
        traces.document_of([{"traceId": TRACE, "spanId": SPAN, "title": "x"}]),
        traces.document_of([{"traceId": TRACE, "spanId": SPAN, "startTimeUnixNano": "now"}]),
    ]
    async with (
        collecting(socket, collector),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
    ):
        for document, status in ((whole, 200), *((each, 400) for each in odd)):
            async with session.post("http://c/v1/traces", json=document) as answer:
                assert answer.status == status, await answer.text()
        async with session.post("http://c/v1/traces", data=json.dumps(whole)) as answer:
            assert answer.status == 415
