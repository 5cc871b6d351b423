"""Anthropic's own client, of the version that is pinned, against the real gateway: each promise of docs/clients.md."""

import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, MessageParam, ToolParam

from gateway.keys import Keys
from gateway.tenancy import Tenancy
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import Stage, eventually, staged

QUESTION: list[MessageParam] = [{"role": "user", "content": "why is the sky blue?"}]
WEATHER: ToolParam = {
    "name": "weather",
    "description": "of a place",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}},
}
KEY, SLOW_KEY = "sk-anthropic-0123456789", "sk-once-a-minute-0123456"


@contextlib.asynccontextmanager
async def asked(
    directory: Path, *engines: FakeEngine, key: str = "EMPTY", keys: str | None = None, **config: Any
) -> AsyncIterator[tuple[anthropic.AsyncAnthropic, Stage]]:
    async with staged(directory, *engines, **config) as stage:
        if keys is not None:
            (directory / "keys").write_text(keys)
            stage.gateway.tenancy = Tenancy(Keys(directory / "keys"))
        address = f"http://127.0.0.1:{stage.port}"
        async with anthropic.AsyncAnthropic(base_url=address, api_key=key, max_retries=0) as client:
            yield client, stage


async def test_models_are_listed_and_shown(tmp_path: Path) -> None:
    engines = FakeEngine(name="a", adapters=("sql",)), FakeEngine(name="b")
    async with asked(tmp_path, *engines) as (client, _):
        assert [model.id async for model in client.models.list()] == ["a", "b"]
        page = await client.models.list(limit=1)
        assert (page.has_more, page.first_id, page.last_id) == (False, "a", "b")
        shown = await client.models.retrieve("b")
    assert (shown.id, shown.type, shown.display_name) == ("b", "model", "b")
    assert shown.created_at.year >= 2024


async def test_a_message_comes_whole(tmp_path: Path) -> None:
    async with asked(tmp_path, FakeEngine(name="a", token="hi ")) as (client, _):
        message = await client.messages.create(model="a", max_tokens=3, messages=QUESTION)
    assert [(block.type, getattr(block, "text", None)) for block in message.content] == [("text", "hi hi hi ")]
    assert (message.role, message.stop_reason, message.model) == ("assistant", "max_tokens", "a")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (1, 3)
    assert re.fullmatch(r"[0-9a-f]{32}", message._request_id or "")  # told in a header that no other API has


async def test_a_message_streams_while_the_engine_makes_its_client_wait(tmp_path: Path) -> None:
    """The pings in between are comments of SSE, which the client passes over."""
    engine = FakeEngine(name="a", token="hi ", first_token_delay_s=0.2, token_delay_s=0.05)
    async with (
        asked(tmp_path, engine, timeouts={"ping_s": 0.05}) as (client, _),
        client.messages.stream(model="a", max_tokens=3, messages=QUESTION) as stream,
    ):
        assert [text async for text in stream.text_stream] == ["hi ", "hi ", "hi "]
        message = await stream.get_final_message()
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_tool_is_called_and_its_result_goes_back(tmp_path: Path, is_streamed: bool) -> None:
    engine = FakeEngine(name="a", calls=("weather", '{"place": "Sevilla"}'))
    async with asked(tmp_path, engine) as (client, _):
        if is_streamed:
            async with client.messages.stream(model="a", max_tokens=9, messages=QUESTION, tools=[WEATHER]) as stream:
                message: Message = await stream.get_final_message()
        else:
            message = await client.messages.create(model="a", max_tokens=9, messages=QUESTION, tools=[WEATHER])
        (call,) = message.content
        assert call.type == "tool_use"
        assert (message.stop_reason, call.name, call.input) == ("tool_use", "weather", {"place": "Sevilla"})
        result: MessageParam = {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}],
        }
        spoken: MessageParam = {"role": "assistant", "content": message.content}
        answer = await client.messages.create(model="a", max_tokens=3, messages=[*QUESTION, spoken, result])
    assert answer.stop_reason == "max_tokens"
    sent = json.loads(engine.received[-1].body)["messages"]
    assert [block["tool_use_id"] for block in sent[2]["content"]] == [sent[1]["content"][0]["id"]]


async def test_tokens_are_counted(tmp_path: Path) -> None:
    async with asked(tmp_path, FakeEngine(name="a")) as (client, _):
        assert (await client.messages.count_tokens(model="a", messages=QUESTION)).input_tokens == 8


async def test_each_refusal_is_the_clients_own_exception(tmp_path: Path) -> None:
    keys = f"{KEY} name=all\n{SLOW_KEY} name=slow requests_per_minute=1\n"
    asking: dict[str, Any] = {"model": "a", "max_tokens": 3, "messages": QUESTION}
    async with asked(tmp_path, FakeEngine(name="a"), key=KEY, keys=keys) as (client, _):
        with pytest.raises(anthropic.AuthenticationError) as wrong:
            await client.with_options(api_key="wrong").messages.create(**asking)
        assert wrong.value.status_code == 401
        with pytest.raises(anthropic.AuthenticationError):
            await client.with_options(api_key="wrong").models.list()
        with pytest.raises(anthropic.NotFoundError) as gone:
            await client.messages.create(**{**asking, "model": "claude-9"})
        assert gone.value.body == {
            "type": "error",
            "error": {"type": "not_found_error", "message": "The model 'claude-9' does not exist. Ask for one of: a."},
            "request_id": gone.value.request_id,
        }
        assert gone.value.request_id
        with pytest.raises(anthropic.NotFoundError):
            await client.models.retrieve("claude-9")
        with pytest.raises(anthropic.BadRequestError, match="temperature must be in"):
            await client.messages.create(**asking, extra_body={"temperature": 9})
        slow = client.with_options(api_key=SLOW_KEY)
        assert await slow.messages.create(**asking)
        with pytest.raises(anthropic.RateLimitError) as often:
            await slow.messages.create(**asking)
        assert 1 <= int(often.value.response.headers["retry-after"]) <= 60
        with pytest.raises(anthropic.RateLimitError):
            async with slow.messages.stream(**asking):
                pass


async def test_a_model_that_is_not_ready_is_told_as_overloaded(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", is_healthy=False)
    async with asked(tmp_path, engine) as (client, _):
        with pytest.raises(anthropic.InternalServerError) as loading:
            await client.messages.create(model="a", max_tokens=3, messages=QUESTION)
    assert loading.value.status_code == 503
    assert isinstance(loading.value.body, dict)
    assert loading.value.body["error"]["type"] == "overloaded_error"


async def test_a_stream_that_breaks_raises_and_never_looks_whole(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=5, failure="die_between_events")
    async with asked(tmp_path, engine) as (client, _):
        with pytest.raises(anthropic.APIStatusError) as broken:
            async with client.messages.stream(model="a", max_tokens=5, messages=QUESTION) as stream:
                await stream.get_final_message()
    assert "The engine of the model 'a' failed during the request." in str(broken.value)


async def test_a_client_that_leaves_its_stream_ends_the_engines_work(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=1000, token_delay_s=0.01)
    async with asked(tmp_path, engine) as (client, stage):
        async with client.messages.stream(model="a", max_tokens=1000, messages=QUESTION) as stream:
            async for _ in stream.text_stream:
                break
        assert await eventually(lambda: engine.received[0].cancelled_at is not None) < 0.5
        await eventually(lambda: stage.stats().in_flight == 0)
        assert stage.stats().cancelled_total == 1
