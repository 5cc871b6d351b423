"""What the gateway reads in a request body, what it may change there, and what it refuses."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.body import SMALL_BYTES, Asked, Turns, read_asked, with_members
from gateway.errors import ApiError
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, raw_exchange, staged

JSON = {"Content-Type": "application/json"}
TURNS = Turns()
PAD = b" " * SMALL_BYTES
"""Makes a body large: those are scanned, small ones are parsed."""


@pytest.mark.parametrize("pad", [b"", PAD])
@pytest.mark.parametrize(
    ("raw", "rewritten"),
    [
        (
            b'{"model":"x","n":1e400,"s":123456789012345678.50}',
            b'{"model":"a","n":1e400,"s":123456789012345678.50}',
        ),
        (b'{"n": {"model": "x"}, "model" : "x"}', b'{"n": {"model": "x"}, "model" : "a"}'),
        (b'{"model":"x","n":1,"mod\\u0065l":"y"}', b'{"model":"a","n":1,"mod\\u0065l":"a"}'),
        (b' { "n" : 1 } ', b' {"model": "a",  "n" : 1 } '),
        (b"{}", b'{"model": "a"}'),
        (b'{"mod\\u0065l":null}', b'{"mod\\u0065l":"a"}'),
    ],
)
async def test_rewriting_keeps_every_other_byte(raw: bytes, rewritten: bytes, pad: bytes) -> None:
    assert await with_members(raw + pad, TURNS, put={"model": "a"}) == rewritten + pad


@pytest.mark.parametrize(
    ("raw", "rewritten"),
    [
        (b'{"top_p":1,"n":1.50}', b'{"n":1.50}'),
        (b'{ "n":1.50 , "top_p" : 1 }', b'{ "n":1.50  }'),
        (b'{"a":1, "top_p":{"top_p":2}, "b":1}', b'{"a":1,  "b":1}'),
        (b'{"top_p":1,"a":{"top_p":2},"top_p":3}', b'{"a":{"top_p":2}}'),
        (b'{"top_p":1}', b"{}"),
        (b'{"n":1}', b'{"n":1}'),
    ],
)
async def test_removing_keeps_every_other_byte(raw: bytes, rewritten: bytes) -> None:
    assert await with_members(raw, TURNS, put={}, remove=("top_p",)) == rewritten


@pytest.mark.parametrize("pad", [b"", PAD])
@pytest.mark.parametrize(
    ("raw", "put", "removed", "changed"),
    [
        (b'{"a":1, "b":2, "c":3}', {}, ["a"], b'{ "b":2, "c":3}'),
        (b'{"a":1, "b":2, "c":3}', {}, ["b"], b'{"a":1,  "c":3}'),
        (b'{"a":1, "b":2, "c":3}', {}, ["c"], b'{"a":1, "b":2}'),
        (b'{"a":1, "b":2, "c":3}', {}, ["b", "c"], b'{"a":1}'),
        (b'{"a":1, "b":2, "c":3}', {}, ["a", "c"], b'{ "b":2}'),
        (b'{"a":1, "b":2, "c":3}', {}, ["a", "b", "c", "d"], b"{}"),
        (b'{"a":1}', {"n": 2, "stop": None}, ["a"], b'{"n": 2, "stop": null}'),
        (b'{"a":1,"n":[{}]}', {"n": 2}, ["a"], b'{"n":2}'),
        (b'{"a":1,"n":[{}]}', {"n": 2, "b": ["x"]}, [], b'{"b": ["x"], "a":1,"n":2}'),
    ],
)
async def test_members_are_put_and_removed(
    raw: bytes, put: dict[str, object], removed: list[str], changed: bytes, pad: bytes
) -> None:
    assert await with_members(raw + pad, TURNS, put=put, remove=removed) == changed + pad


@pytest.mark.parametrize("pad", [b"", PAD])
async def test_of_two_equal_keys_the_last_counts_as_it_does_for_the_engine(pad: bytes) -> None:
    raw = b'{"model":"x","stream":true,"mod\\u0065l":"y","stream":false}' + pad
    assert json.loads(raw) == {"model": "y", "stream": False}
    assert await read_asked(raw, TURNS) == Asked(model="y", stream=False)


@pytest.mark.parametrize("pad", [b"", PAD])
async def test_only_a_true_stream_key_asks_for_a_stream(pad: bytes) -> None:
    values = (b"true", b"false", b"null", b'"true"', b"1")
    assert [(await read_asked(b'{"stream":%s}' % value + pad, TURNS)).stream for value in values] == [
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("pad", [b"", PAD])
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"model":7}', "'model' must be a string, got 7. Send a model's name."),
        (b'{"model":["a"]}', "'model' must be a string, got ['a']. Send a model's name."),
        (b'{"model":{"a":1}}', "'model' must be a string, got {'a': 1}. Send a model's name."),
    ],
)
async def test_a_model_that_is_not_clear_is_refused(raw: bytes, message: str, pad: bytes) -> None:
    with pytest.raises(ApiError) as refusal:
        await read_asked(raw + pad, TURNS)
    assert (refusal.value.status, refusal.value.message) == (400, message)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"[1]" + PAD, "The request body is no JSON object: unexpected '[' at byte 0. Correct it."),
        (b'{"model":tru}' + PAD, "The value of 'model' is not JSON. Correct it."),
        (b'{"model":"%s"}' % PAD, "'model' is longer than 4096 bytes. Send less."),
    ],
)
async def test_a_large_body_that_cannot_be_read_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await read_asked(raw, TURNS)
    assert (refusal.value.status, refusal.value.message) == (400, message)


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
    async with staged(tmp_path, engine) as stage, stage.session.post(CHAT, data=raw, headers=JSON) as answer:
        assert answer.status == 400
        error = (await answer.json())["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert not engine.received


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/vnd.x+JSON", None])
async def test_json_is_accepted_by_its_types_and_without_any(tmp_path: Path, content_type: str | None) -> None:
    engine = FakeEngine(name="a")
    async with staged(tmp_path, engine) as stage:
        assert (await raw_exchange(stage.port, posted(b'{"model":"a"}', content_type))).startswith(b"HTTP/1.1 200")
    assert engine.received[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "text/x+json", "json", ""],
)
async def test_another_content_type_is_415_and_told_what_to_send(tmp_path: Path, content_type: str) -> None:
    engine = FakeEngine(name="a")
    async with staged(tmp_path, engine) as stage:
        head, _, body = (await raw_exchange(stage.port, posted(b'{"model":"a"}', content_type))).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 415 ")
    assert json.loads(body)["error"] == {
        "message": "The Content-Type of the request is not JSON. Send the header `Content-Type: application/json`.",
        "type": "invalid_request_error",
        "param": None,
        "code": "unsupported_media_type",
    }
    assert not engine.received


def posted(raw: bytes, content_type: str | None) -> bytes:
    head = "" if content_type is None else f"Content-Type: {content_type}\r\n"
    return (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}Content-Length: {len(raw)}\r\n\r\n"
    ).encode() + raw


@pytest.mark.parametrize("size", [0, SMALL_BYTES])
async def test_a_byte_order_mark_is_accepted_and_not_passed_on(tmp_path: Path, size: int) -> None:
    raw = b'{"model":"a","pad":"%s"}' % (b"x" * size)
    engine = FakeEngine(name="a")
    async with (
        staged(tmp_path, engine) as stage,
        stage.session.post(CHAT, data=b"\xef\xbb\xbf" + raw, headers=JSON) as answer,
    ):
        assert answer.status == 200
    assert engine.received[0].body == raw


async def test_a_compressed_body_reaches_the_engine_plain(tmp_path: Path) -> None:
    engine = FakeEngine(name="a")
    raw = b'{"model":"a"}'
    headers = {**JSON, "Content-Encoding": "gzip"}
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
    headers = {**JSON, "Content-Encoding": "gzip"} if how == "compressed" else JSON
    engine = FakeEngine(name="a")
    async with (
        staged(tmp_path, engine, max_body_bytes=1000) as stage,
        stage.session.post(CHAT, data=data, headers=headers) as answer,
    ):
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "request_too_large"
    assert not engine.received
