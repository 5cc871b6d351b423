"""Which headers cross the gateway, and that none can be smuggled through it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from gateway.headers import for_client, for_engine, request_id_of
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, raw_exchange, staged

NAMES = st.sampled_from(
    ["Accept", "Connection", "TE", "X-A", "X-B", "x-c", "Upgrade", "traceparent", "Cookie", "Authorization"]
)
VALUES = st.sampled_from(["1", "close", "x-a", "X-B, keep-alive", "trailers", "\udcff", "é", ""])


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_only_harmless_end_to_end_headers_reach_an_engine(headers: list[tuple[str, str]]) -> None:
    named = {token.strip().lower() for name, value in headers if name == "Connection" for token in value.split(",")}
    dropped = named | {"connection", "te", "upgrade", "cookie", "authorization"}
    expected = [(name, value) for name, value in headers if name.lower() not in dropped and value.isascii()]
    ours = [("Content-Type", "application/json"), ("Accept-Encoding", "identity"), ("X-Request-Id", "r")]
    assert list(for_engine(headers, request_id="r").items()) == expected + ours


def test_an_engines_connection_headers_and_cookies_stop_at_the_gateway() -> None:
    engine = [
        ("Server", "uvicorn"),
        ("Connection", "X-Private, close"),
        ("X-Private", "1"),
        ("Keep-Alive", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Set-Cookie", "a=b"),
        ("Content-Type", "text/event-stream"),
        ("X-Served-Model", "forged"),
    ]
    assert list(for_client(engine, model="a", request_id="r").items()) == [
        ("Server", "uvicorn"),
        ("Content-Type", "text/event-stream"),
        ("X-Served-Model", "a"),
        ("X-Request-Id", "r"),
    ]


@pytest.mark.parametrize("offered", ["a", "A-b_c.9", "x" * 128])
def test_a_harmless_request_id_is_kept(offered: str) -> None:
    assert request_id_of(offered) == offered


@pytest.mark.parametrize("offered", [None, "", "a b", "a\n", "a\r\nSet-Cookie: x", "x" * 129, "é", 'a"b'])
def test_any_other_request_id_is_replaced(offered: str | None) -> None:
    made = request_id_of(offered)
    assert made != offered
    assert len(made) == 32
    assert made.isalnum()


async def test_what_an_engine_and_a_client_see_of_each_other(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", response_headers={"X-Kept": "1", "Connection": "X-Hop", "X-Hop": "1"})
    sent = {
        "Content-Type": "application/json",
        "Authorization": "Bearer secret",
        "X-Api-Key": "secret",
        "Cookie": "a=b",
        "Accept-Encoding": "gzip, br",
        "X-Request-Id": "mine-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "User-Agent": "agent/1",
        "Connection": "keep-alive, X-Secret",
        "X-Secret": "1",
        "Upgrade": "h2c",
    }
    async with staged(tmp_path, engine) as stage:
        raw = json.dumps({"model": "a"}).encode()
        url = URL(f"http://127.0.0.1:{stage.port}{CHAT}?x=%2F&y", encoded=True)
        async with stage.session.post(url, data=raw, headers=sent) as answer:
            assert answer.status == 200
            assert answer.headers["X-Request-Id"] == "mine-1"
            assert answer.headers["X-Kept"] == "1"
            assert "X-Hop" not in answer.headers
    received = engine.received[0]
    assert received.path == CHAT + "?x=%2F&y"
    assert received.headers == {
        "Host": "engine",
        "Accept": "*/*",
        "X-Request-ID": "mine-1",
        "traceparent": sent["traceparent"],
        "User-Agent": "agent/1",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "Content-Length": str(len(raw)),
    }


@pytest.mark.parametrize(
    "head",
    [
        b"X-Request-Id: a\x00b",
        b"X-A: b\x01",
        b"X-A : b",
        b"Content-Length: 2\r\nContent-Length: 3",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked, identity",
    ],
)
async def test_control_characters_and_ambiguous_lengths_are_refused(tmp_path: Path, head: bytes) -> None:
    engine = FakeEngine(name="a")
    request = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + head + b"\r\n\r\n{}"
    async with staged(tmp_path, engine) as stage:
        assert (await raw_exchange(stage.port, request)).startswith(b"HTTP/1.0 400") or not engine.received
    assert not engine.received
