"""Routes beside those of one question: responses by their ids, Anthropic's list of models, what is not offered."""

from pathlib import Path

import openai
import pytest

from gateway.errors import ApiError
from gateway.form import model_span
from gateway.made_responses import MAX_REMEMBERED, MadeResponses
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import raw_exchange, staged

ANTHROPIC = {"anthropic-version": "2023-06-01"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_is_asked_of_the_engine_that_made_it(tmp_path: Path, stream: bool) -> None:
    first, second = FakeEngine(name="a"), FakeEngine(name="b")
    async with staged(tmp_path, first, second) as stage, stage.openai() as client:
        made = await client.responses.create(model="b", input="?", stream=stream)
        if isinstance(made, openai.AsyncStream):
            _ = [event async for event in made]
        assert (await client.responses.retrieve("resp_b")).status == "completed"
        assert (await client.responses.cancel("resp_b")).status == "cancelled"
        with pytest.raises(openai.NotFoundError, match="No response is called 'resp_a'"):
            await client.responses.retrieve("resp_a")
        async with stage.session.get("/v1/responses/resp_b?starting_after=3") as answer:
            assert answer.headers["X-Served-Model"] == "b"
    assert not first.received
    assert second.received[-1].path == "/v1/responses/resp_b?starting_after=3"


async def test_a_head_request_for_a_response_ends_with_the_head(tmp_path: Path) -> None:
    """An engine is asked for all of it: no answer to a HEAD says where it ends."""
    async with staged(tmp_path, FakeEngine(name="a")) as stage, stage.openai() as client:
        await client.responses.create(model="a", input="?")
        asked = b"HEAD /v1/responses/resp_a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await raw_exchange(stage.port, asked)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_the_oldest_responses_are_forgotten() -> None:
    made = MadeResponses()
    for number in range(MAX_REMEMBERED + 1):
        made.note(b'{"id":"resp_%d","output":[{"id":"resp_other"}]}' % number, "a")
    made.note(b'{"id":"chatcmpl-1"}', "a")
    assert made.maker_of("resp_1") == made.maker_of(f"resp_{MAX_REMEMBERED}") == "a"
    for unknown in ("resp_0", "resp_other", "chatcmpl-1"):
        with pytest.raises(ApiError, match="No response is called"):
            made.maker_of(unknown)


async def test_anthropics_clients_get_the_list_in_their_shape(tmp_path: Path) -> None:
    models = [{"name": "a", "adapters": ["sql"], "socket": str(tmp_path / "a.sock")}]
    async with staged(tmp_path, FakeEngine(name="a", adapters=("sql",)), models=models) as stage:
        async with stage.session.get("/v1/models?limit=1000", headers=ANTHROPIC) as answer:
            page = await answer.json()
        async with stage.session.get("/v1/models/sql", headers=ANTHROPIC) as answer:
            assert await answer.json() == page["data"][1]
        async with stage.session.get("/v1/models/gone", headers={**ANTHROPIC, "X-Request-Id": "r"}) as answer:
            assert (answer.status, (await answer.json())["error"]["type"]) == (404, "not_found_error")
        assert (await stage.json("/v1/models"))["object"] == "list"
    assert [card.pop("created_at")[-1] for card in page["data"]] == ["Z", "Z"]
    assert page == {
        "data": [
            {"type": "model", "id": "a", "display_name": "a"},
            {"type": "model", "id": "sql", "display_name": "sql"},
        ],
        "has_more": False,
        "first_id": "a",
        "last_id": "sql",
    }


async def test_there_is_no_websocket_and_it_is_said_before_one_opens(tmp_path: Path) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"}
    async with (
        staged(tmp_path, FakeEngine(name="a")) as stage,
        stage.session.get("/v1/realtime?model=a", headers=upgrade) as answer,
    ):
        assert (answer.status, (await answer.json())["error"]["code"]) == (501, "not_offered")


SOUND = b'RIFF\r\n--b"\r\nContent-Disposition: form-data; name="model"\r\n\r\nnot this\r\n\x00\xff'


@pytest.mark.parametrize(("asked", "served"), [("b", "b"), ("Loud:latest", "b"), ("a", "a")])
async def test_a_recording_goes_to_the_model_in_its_form(tmp_path: Path, asked: str, served: str) -> None:
    first, second = FakeEngine(name="a", token="x"), FakeEngine(name="b", token="y")
    async with staged(tmp_path, first, second, aliases={"b": ["loud"]}) as stage, stage.openai() as client:
        told = await client.audio.transcriptions.create(model=asked, file=("s.wav", SOUND))
    engine = {"a": first, "b": second}[served]
    assert told.text == engine.token
    assert SOUND in engine.received[0].body
    assert engine.received[0].headers["Content-Type"].startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize(
    ("raw", "kind", "expected"),
    [
        (b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b--\r\n', "boundary=b", b"m"),
        (b'--b\r\nContent-Disposition: form-data; name="modelled"\r\n\r\nm\r\n--b--\r\n', "boundary=b", None),
        (b"pre\r\n--b\r\nx: y\r\ncontent-disposition: form-data; name=model\r\n\r\nm\r\n--b--", 'boundary="b"', b"m"),
        (b"", "boundary=b", None),
        (b"--b", "boundary=b", None),
        (b"nothing", "boundary=b", None),
    ],
)
def test_the_model_of_a_form(raw: bytes, kind: str, expected: bytes | None) -> None:
    span = model_span(raw, f"multipart/form-data; {kind}")
    assert (None if span is None else raw[slice(*span)]) == expected


async def test_what_is_no_form_and_nobodys_model_are_refused(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage, stage.openai() as client:
        async with stage.session.post("/v1/audio/transcriptions", json={"model": "a"}) as answer:
            assert answer.status == 400
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await client.audio.transcriptions.create(model="gone", file=("s.wav", SOUND))
