"""Ollama's own Python client, of the version that is pinned, against the real gateway."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import ollama
import pytest

from gateway.keys import Keys
from gateway.tenancy import Tenancy
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import Stage, eventually, staged

QUESTION = [{"role": "user", "content": "why is the sky blue?"}]
KEY, SLOW_KEY = "sk-ollama-0123456789abc", "sk-once-a-minute-0123456"
PIXEL = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\nIDATx\x9cc\0\x01\0\0\x05\0"
    b"\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82"
)


def weather(place: str) -> str:
    """Tell the weather.

    Args:
      place: where
    """
    return f"sunny in {place}"


@contextlib.asynccontextmanager
async def asked(
    directory: Path, *engines: FakeEngine, keys: str | None = None, **config: Any
) -> AsyncIterator[tuple[ollama.AsyncClient, Stage]]:
    async with staged(directory, *engines, **config) as stage:
        if keys is not None:
            (directory / "keys").write_text(keys)
            stage.gateway.tenancy = Tenancy(Keys(directory / "keys"))
        yield client_of(stage), stage


def client_of(stage: Stage, key: str = "EMPTY") -> ollama.AsyncClient:
    return ollama.AsyncClient(f"http://127.0.0.1:{stage.port}", headers={"Authorization": f"Bearer {key}"})


async def test_models_are_listed_shown_and_said_to_run(tmp_path: Path) -> None:
    async with asked(tmp_path, FakeEngine(name="a"), FakeEngine(name="b", is_healthy=False)) as (client, _):
        listed = await client.list()
        assert [model.model for model in listed.models] == ["a:latest", "b:latest"]
        assert all(model.digest and model.modified_at for model in listed.models)
        assert [model.name for model in (await client.ps()).models] == ["a:latest"]
        shown = await client.show("a")
    assert (shown.modelinfo or {})["vllm.context_length"] == 4096
    assert shown.capabilities == ["completion"]


async def test_chats_and_prompts_come_whole_and_as_streams(tmp_path: Path) -> None:
    async with asked(tmp_path, FakeEngine(name="a", token="hi ")) as (client, _):
        chat = await client.chat("a", QUESTION)
        assert (chat.message.content, chat.done, chat.done_reason, chat.eval_count) == ("hi hi hi ", True, "length", 3)
        parts = [part async for part in await client.chat("a:latest", QUESTION, stream=True)]
        assert [part.message.content for part in parts] == ["hi ", "hi ", "hi ", ""]
        assert [part.done for part in parts] == [False, False, False, True]
        whole = await client.generate("a", "why?", options={"num_predict": 2, "temperature": 0.1})
        assert (whole.response, whole.eval_count, whole.prompt_eval_count) == ("hi hi ", 2, 1)
        pieces = [piece.response async for piece in await client.generate("a", "why?", stream=True)]
        assert pieces == ["hi ", "hi ", "hi ", ""]


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_tool_is_called_and_its_result_goes_back(tmp_path: Path, is_streamed: bool) -> None:
    engine = FakeEngine(name="a", calls=("weather", '{"place": "Sevilla"}'))
    async with asked(tmp_path, engine) as (client, _):
        if is_streamed:
            parts = [part async for part in await client.chat("a", QUESTION, tools=[weather], stream=True)]
            message = next(part.message for part in parts if part.message.tool_calls)
        else:
            message = (await client.chat("a", QUESTION, tools=[weather])).message
        (call,) = message.tool_calls or ()
        assert (call.function.name, call.function.arguments) == ("weather", {"place": "Sevilla"})
        result = {"role": "tool", "tool_name": "weather", "content": weather(**call.function.arguments)}
        await client.chat("a", [*QUESTION, message, result])
    told = json.loads(engine.received[0].body)["tools"]
    assert told[0]["function"]["parameters"]["properties"]["place"]["type"] == "string"
    sent = json.loads(engine.received[-1].body)["messages"]
    assert sent[2]["tool_call_id"] == sent[1]["tool_calls"][0]["id"]
    assert sent[2]["content"] == "sunny in Sevilla"


async def test_a_picture_and_thoughts_go_through(tmp_path: Path) -> None:
    deltas = ({"reasoning": "hm"}, {"content": "red"})
    engine = FakeEngine(name="a", deltas=deltas)
    async with asked(tmp_path, engine) as (client, _):
        question = {"role": "user", "content": "which colour?", "images": [PIXEL]}
        message = (await client.chat("a", [question], think=True)).message
    assert (message.thinking, message.content) == ("hm", "red")
    (picture, text) = json.loads(engine.received[0].body)["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert text == {"type": "text", "text": "which colour?"}


async def test_texts_are_embedded(tmp_path: Path) -> None:
    async with asked(tmp_path, FakeEngine(name="a", embeds=True)) as (client, _):
        assert (await client.embed("a", "x")).embeddings == [[0.5, -1.0]]
        assert (await client.embeddings("a", "x")).embedding == [0.5, -1.0]


async def test_each_refusal_is_the_clients_own_exception_with_its_status(tmp_path: Path) -> None:
    keys = f"{KEY} name=all\n{SLOW_KEY} name=slow requests_per_minute=1\n"
    async with asked(tmp_path, FakeEngine(name="a"), keys=keys) as (wrong, stage):
        client, slow = client_of(stage, KEY), client_of(stage, SLOW_KEY)

        async def refused(call: Any) -> tuple[int, str]:
            with pytest.raises(ollama.ResponseError) as error:
                await call
            return error.value.status_code, error.value.error

        assert (await refused(wrong.chat("a", QUESTION)))[0] == 401
        assert (await refused(wrong.list()))[0] == 401
        gone = "The model 'gone' does not exist. Ask for one of: a."
        assert await refused(client.chat("gone", QUESTION)) == (404, gone)
        assert (await refused(client.show("gone")))[0] == 404
        assert await refused(client.chat("a", QUESTION, options={"temperature": 9})) == (
            400,
            "temperature must be in [0, 2]",
        )
        assert (await refused(client.embed("a", "x")))[0] == 404
        assert (await refused(client.pull("a")))[0] == 501
        assert (await slow.chat("a", QUESTION)).done
        assert (await refused(slow.chat("a", QUESTION)))[0] == 429
        with pytest.raises(ollama.ResponseError) as streamed:
            async for _ in await slow.chat("a", QUESTION, stream=True):
                pass
        assert streamed.value.status_code == 429


async def test_a_stream_that_breaks_raises_and_never_says_done(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=5, failure="die_between_events")
    async with asked(tmp_path, engine) as (client, _):
        stream = await client.chat("a", QUESTION, stream=True)
        assert not (await anext(stream)).done
        with pytest.raises(ollama.ResponseError, match="The engine of the model 'a' failed during the request"):
            await anext(stream)


async def test_a_client_that_leaves_its_stream_ends_the_engines_work(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=1000, token_delay_s=0.01)
    async with asked(tmp_path, engine) as (client, stage):
        stream = await client.chat("a", QUESTION, stream=True)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined] # the generator behind the client's AsyncIterator
        assert await eventually(lambda: engine.received[0].cancelled_at is not None) < 0.5
        await eventually(lambda: stage.stats().in_flight == 0)
