"""Each API's clients get errors in their own shape: as a status, and within a stream."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.errors import ApiError
from gateway.keys import Keys
from gateway.protocols import protocol_of
from gateway.protocols.responses import ResponseStream
from gateway.sse import refusal_in
from tests.support.fakes.engine import FakeEngine
from tests.support.fakes.raw_engine import RawEngine, listening
from tests.unit.gateway.test_sse import strict_events
from tests.unit.gateway.test_stage import CHAT, config_json, gateway_on_stage, staged

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
ID = {"X-Request-Id": "r-1"}


def anthropic(kind: str, message: str) -> dict[str, Any]:
    """Anthropic's error object, as its documentation shows it."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "r-1"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (408, "invalid_request_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
def test_anthropics_clients_get_anthropics_word_for_each_status(status: int, kind: str) -> None:
    error = ApiError(status, "any", "why")
    assert json.loads(protocol_of(MESSAGES, {}).envelope(error, "r-1")) == anthropic(kind, "why")


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/v1/messages", {}, {"type": "error", "error": {"type": "api_error", "message": "why"}, "request_id": "r-1"}),
        ("/v1/messages/count_tokens", {}, anthropic("api_error", "why")),
        ("/v1/messages/batches/1", {}, anthropic("api_error", "why")),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, anthropic("api_error", "why")),
        ("/api/chat", {}, {"error": "why"}),
        ("/api/nothing", {}, {"error": "why"}),
        *(
            (path, {}, {"error": {"message": "why", "type": "server_error", "param": None, "code": "broken"}})
            for path in ("/v1/chat/completions", "/v1/responses", "/v1/responses/x/cancel", "/v1/models", "/nothing",
                         "/v1/messagesque", "/apiary")
        ),
    ],
)  # fmt: skip
def test_the_path_decides_which_envelope(path: str, headers: dict[str, str], expected: dict[str, Any]) -> None:
    error = ApiError(500, "broken", "why")
    assert json.loads(protocol_of(path, headers).envelope(error, "r-1")) == expected


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("POST", MESSAGES, {"model": "gone"}, 404, "not_found_error"),
        ("POST", MESSAGES, [], 400, "invalid_request_error"),
        ("GET", MESSAGES, None, 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", {}, 404, "not_found_error"),
        ("POST", "/v1/messages/count_tokens", {"model": "a"}, 400, "invalid_request_error"),  # again: no messages
        ("POST", MESSAGES, {"model": "a", "temperature": 9}, 400, "invalid_request_error"),  # the engine refuses
    ],
)
async def test_refusals_on_messages_are_anthropics(
    tmp_path: Path, method: str, path: str, body: Any, status: int, kind: str
) -> None:
    async with (
        staged(tmp_path, FakeEngine(name="a")) as stage,
        stage.session.request(method, path, json=body, headers=ID) as answer,
    ):
        told = await answer.json()
    assert answer.status == status
    assert told == anthropic(kind, told["error"]["message"])
    assert told["error"]["message"]


@pytest.mark.parametrize("path", [MESSAGES, "/api/chat"])
async def test_an_engines_refusal_in_plain_text_is_told_in_json_that_says_so(tmp_path: Path, path: str) -> None:
    """As uvicorn tells of a bug in vLLM."""

    async def fail(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = b"Internal Server Error"
        head = f"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    async with listening(RawEngine(fail), tmp_path / "a.sock"), gateway_on_stage(config_json(tmp_path, "a")) as stage:
        asked = {"model": "a", "messages": [{"role": "user", "content": "?"}]}
        async with stage.session.post(path, json=asked, headers=ID) as answer:
            assert (answer.status, answer.content_type) == (500, "application/json")
            told = json.loads(await answer.read())
    assert told in (anthropic("api_error", "Internal Server Error"), {"error": "Internal Server Error"})


async def test_a_key_that_is_missing_is_told_in_anthropics_words(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        stage.gateway.tenancy.keys = Keys(keys)
        async with stage.session.post(MESSAGES, json={"model": "a"}, headers=ID) as answer:
            told = await answer.json()
    assert answer.status == 401
    assert told["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("route", "status", "expected"),
    [
        (CHAT, 400, {"error": {"message": "engine trouble", "type": "BadRequestError", "param": None, "code": 400}}),
        (
            "/v1/completions",
            500,
            {"error": {"message": "engine trouble", "type": "InternalServerError", "param": None, "code": 500}},
        ),
        (MESSAGES, 500, anthropic("api_error", "engine trouble")),
    ],
)
async def test_a_stream_whose_first_event_is_an_error_gets_its_status(
    tmp_path: Path, route: str, status: int, expected: dict[str, Any]
) -> None:
    engine = FakeEngine(name="a", failure="error_first")
    async with (
        staged(tmp_path, engine) as stage,
        stage.session.post(route, json={"model": "a", "stream": True}, headers=ID) as answer,
    ):
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
        assert await answer.json() == expected
        assert (answer.headers["X-Request-Id"], answer.headers["X-Served-Model"]) == ("r-1", "a")
        await asyncio.sleep(0.05)
    assert engine.answering == 0


async def test_the_openai_client_sees_the_mistake_that_vllm_found_within_a_stream(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a", failure="error_first")) as stage, stage.openai() as client:
        with pytest.raises(openai.BadRequestError, match="engine trouble"):
            await client.chat.completions.create(model="a", messages=[], stream=True)


async def test_a_response_that_breaks_fails_under_its_own_name_and_number(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=5, failure="die_between_events")
    async with staged(tmp_path, engine) as stage:
        async with stage.session.post(RESPONSES, json={"model": "a", "stream": True}) as answer:
            name, data = strict_events(await answer.read())[-1]
        assert name == "response.failed"
        assert json.loads(data) == {
            "type": "response.failed",
            "sequence_number": 2,
            "response": {
                "id": "resp_a",
                "object": "response",
                "model": "a",
                "output": [],
                "status": "failed",
                "error": {"code": "server_error", "message": "The engine of the model 'a' failed during the request."},
            },
        }
        async with stage.openai() as client:
            events = [event async for event in await client.responses.create(model="a", input="?", stream=True)]
    assert [event.type for event in events] == [
        "response.created",
        "response.output_text.delta",
        "response.failed",
    ]
    assert [event.sequence_number for event in events] == [0, 1, 2]


def test_a_response_that_nothing_is_known_of_ends_in_an_error_event() -> None:
    ((name, data),) = strict_events(ResponseStream().interruption(ApiError(502, "upstream_error", "gone")))
    assert name == "error"
    assert json.loads(data) == {
        "type": "error",
        "code": "upstream_error",
        "message": "gone",
        "param": None,
        "sequence_number": 0,
    }


@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        (b'data: {"choices":[]}\n\ndata: {"error":{"code":400}}\n\n', None),
        (b': ping\n\ndata: {"error":{"code":400}}\n\n', None),
        (b'data: {"error":{"code":422}}\n\ndata: [DONE]\n\n', (422, b'{"error":{"code":422}}')),
        (b'data: {"error":{"code":200}}\r\n\r\n', (500, b'{"error":{"code":200}}')),
        (b'data: {"error":"odd"}\n\n', (500, b'{"error":"odd"}')),
        (b"event: error\ndata: torn\n\n", (500, b"torn")),
        (b"", None),
    ],
)  # fmt: skip
def test_only_a_first_event_that_is_an_error_is_a_refusal(ready: bytes, expected: tuple[int, bytes] | None) -> None:
    assert refusal_in(ready) == expected
