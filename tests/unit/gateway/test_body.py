"""What the gateway reads in a request body, what it may change there, and what it refuses."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.body import read_asked, with_members
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, raw_exchange, staged

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=50)
@given(
    st.dictionaries(st.text() | st.just("model"), JSON),
    st.none() | st.text(),
    st.booleans(),
    st.sampled_from([None, 2]),
)
def test_rewriting_changes_the_model_and_nothing_else(
    body: dict[str, Any], model: str | None, ascii_only: bool, indent: int | None
) -> None:
    body = {**body, "model": model}
    raw = json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return  # lone surrogates are no UTF-8; read_asked refuses them first
    assert json.loads(with_members(raw, put={"model": "chosen"})) == {**body, "model": "chosen"}


@pytest.mark.parametrize(
    ("raw", "rewritten"),
    [
        (
            b'{"model":"x","n":1e400,"s":123456789012345678.50}',
            b'{"model":"a","n":1e400,"s":123456789012345678.50}',
        ),
        (b'{"n": {"model": "x"}, "model" : "x"}', b'{"n": {"model": "x"}, "model" : "a"}'),
        (b'{"model":"x","model":"y"}', b'{"model":"a","model":"a"}'),
        (b' { "n" : 1 } ', b' {"model": "a",  "n" : 1 } '),
        (b"{}", b'{"model": "a"}'),
        (b'{"mod\\u0065l":null}', b'{"mod\\u0065l":"a"}'),
    ],
)
def test_rewriting_keeps_every_other_byte(raw: bytes, rewritten: bytes) -> None:
    assert with_members(raw, put={"model": "a"}) == rewritten


@pytest.mark.parametrize(
    ("raw", "rewritten"),
    [
        (b'{"top_p":1,"n":1.50}', b'{"n":1.50}'),
        (b'{ "n":1.50 , "top_p" : 1 }', b'{ "n":1.50 }'),
        (b'{"a":1, "top_p":{"top_p":2}, "b":1}', b'{"a":1, "b":1}'),
        (b'{"top_p":1,"a":{"top_p":2},"top_p":3}', b'{"a":{"top_p":2}}'),
        (b'{"top_p":1}', b"{}"),
        (b'{"n":1}', b'{"n":1}'),
    ],
)
def test_removing_keeps_every_other_byte(raw: bytes, rewritten: bytes) -> None:
    assert with_members(raw, put={}, remove=("top_p",)) == rewritten


@given(st.dictionaries(st.sampled_from("abcd"), JSON), st.sets(st.sampled_from("abcde")), st.sampled_from([None, 2]))
def test_removing_and_setting_change_nothing_else(body: dict[str, Any], gone: set[str], indent: int | None) -> None:
    raw = json.dumps(body, indent=indent).encode()
    put = {"x": [1, "ñ"], "model": "m"}
    kept = {name: value for name, value in body.items() if name not in gone}
    assert json.loads(with_members(raw, put=put, remove=gone)) == {**kept, **put}


def test_only_a_true_stream_key_asks_for_a_stream() -> None:
    assert [read_asked(b'{"stream":%s}' % value).stream for value in (b"true", b"false", b"null", b'"true"', b"1")] == [
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'"model"', None),
        (b"\xff\xfe{}", None),
        (b"[" * 200_000, None),
        (b'{"a":' * 200_000, None),
        (b'{"n":' + b"1" * 10_000 + b"}", None),
        (b'{"model":7}', "model"),
        (b'{"model":{"a":1}}', "model"),
    ],
)
async def test_a_body_that_cannot_be_understood_is_400(tmp_path: Path, raw: bytes, param: str | None) -> None:
    engine = FakeEngine(name="a")
    async with staged(tmp_path, engine) as stage, stage.session.post(CHAT, data=raw) as answer:
        assert answer.status == 400
        error = (await answer.json())["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert not engine.received


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/vnd.x+json", None]
)
async def test_json_under_another_content_type_is_accepted(tmp_path: Path, content_type: str | None) -> None:
    engine = FakeEngine(name="a")
    raw = b'{"model":"a"}'
    head = f"Content-Type: {content_type}\r\n" if content_type else ""
    request = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}Content-Length: {len(raw)}\r\n\r\n".encode()
    )
    async with staged(tmp_path, engine) as stage:
        assert (await raw_exchange(stage.port, request + raw)).startswith(b"HTTP/1.1 200")
    assert engine.received[0].headers["Content-Type"] == "application/json"


async def test_a_compressed_body_reaches_the_engine_plain(tmp_path: Path) -> None:
    engine = FakeEngine(name="a")
    raw = b'{"model":"a"}'
    headers = {"Content-Encoding": "gzip"}
    async with (
        staged(tmp_path, engine) as stage,
        stage.session.post(CHAT, data=gzip.compress(raw), headers=headers) as answer,
    ):
        assert answer.status == 200
    assert engine.received[0].body == raw
    assert "Content-Encoding" not in engine.received[0].headers


@pytest.mark.parametrize("how", ["declared", "chunked", "compressed"])
async def test_a_body_above_the_limit_is_413(tmp_path: Path, how: str) -> None:
    raw = json.dumps({"model": "a", "prompt": "x" * 5000}).encode()

    async def pieces() -> Any:
        for start in range(0, len(raw), 500):
            yield raw[start : start + 500]

    data = {"declared": raw, "chunked": pieces(), "compressed": gzip.compress(raw)}[how]
    headers = {"Content-Encoding": "gzip"} if how == "compressed" else {}
    engine = FakeEngine(name="a")
    async with (
        staged(tmp_path, engine, max_body_bytes=1000) as stage,
        stage.session.post(CHAT, data=data, headers=headers) as answer,
    ):
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "request_too_large"
    assert not engine.received
