"""Ollama's API through the real gateway: over plain HTTP, with what its documentation shows (its client is absent)."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.ollama.catalog import API_VERSION
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import Stage, config_json, eventually, gateway_on_stage, staged

QUESTION = {"model": "a:latest", "messages": [{"role": "user", "content": "why is the sky blue?"}]}
PROMPT = {"model": "a:latest", "prompt": "why?"}
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


async def lines(stage: Stage, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with stage.session.post(path, json=body) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
        return [json.loads(line) for line in (await answer.read()).splitlines()]


async def whole(stage: Stage, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with stage.session.post(path, json=body) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("application/json")
        told: dict[str, Any] = await answer.json()
        return told


async def test_a_chat_streams_lines_and_ends_with_measured_times(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=3, first_token_delay_s=0.2, token_delay_s=0.1)
    async with staged(tmp_path, engine) as stage:
        began = time.monotonic()
        told = await lines(stage, "/api/chat", QUESTION)
        took_s = time.monotonic() - began
        assert await stage.json("/api/ps")
        assert stage.stats().interrupted_total == 0
    assert [line["message"]["content"] for line in told] == ["tok", "tok", "tok", ""]
    assert [line["done"] for line in told] == [False, False, False, True]
    assert {line["model"] for line in told} == {"a:latest"}
    last = told[-1]
    assert (last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == ("length", 1, 3)
    seconds = {key: last[key] / 1e9 for key in DURATIONS}
    assert 0.25 < seconds["prompt_eval_duration"] < 0.6  # the first token comes after 0.2 s and one gap
    assert 0.15 < seconds["eval_duration"] < 0.6
    assert seconds["load_duration"] < 0.1
    assert seconds["total_duration"] <= took_s
    assert abs(sum(seconds[key] for key in DURATIONS[1:]) - seconds["total_duration"]) < 1e-6
    assert json.loads(engine.received[0].body)["model"] == "a"


@pytest.mark.parametrize(("path", "body"), [("/api/chat", QUESTION), ("/api/generate", PROMPT)])
async def test_an_answer_that_is_not_streamed_comes_whole(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        told = await whole(stage, path, {**body, "stream": False})
    assert told.get("response", told.get("message", {}).get("content")) == "toktoktok"
    assert (told["done"], told["done_reason"], told["eval_count"]) == (True, "length", 3)


async def test_the_requests_of_the_earlier_servers_clients_are_answered(tmp_path: Path) -> None:
    """The JavaScript client's, the API gateway's fallback, and the older POST /generate, which did not stream."""
    engine = FakeEngine(name="phi4_fast")
    aliases = {"phi4_fast": ["phi3:mini"]}
    options = {"temperature": 0.7, "num_predict": 2, "top_p": 0.9, "top_k": 40}
    async with staged(tmp_path, engine, aliases=aliases) as stage:
        streamed = await lines(
            stage, "/api/generate", {"model": "phi4", "prompt": "?", "stream": True, "options": options}
        )
        fallback = await whole(stage, "/api/generate", {"model": "phi3:mini", "prompt": "?", "stream": False})
        older = await whole(stage, "/generate", {"prompt": "?", "max_tokens": 1})
    assert [line["response"] for line in streamed] == ["tok", "tok", ""]
    assert {"eval_duration", "total_duration", "eval_count"} <= set(streamed[-1])
    assert (fallback["model"], fallback["response"]) == ("phi3:mini", "toktoktok")
    assert (older["model"], older["response"]) == ("phi4_fast", "tok")
    sent = json.loads(engine.received[0].body)
    assert {key: sent[key] for key in ("temperature", "max_tokens", "top_p", "top_k")} == {
        "temperature": 0.7,
        "max_tokens": 2,
        "top_p": 0.9,
        "top_k": 40,
    }


@pytest.mark.parametrize("body", [{"model": "a"}, {"model": "a", "messages": [], "keep_alive": 0}])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_without_a_prompt_the_model_is_said_to_be_loaded(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    engine = FakeEngine(name="a")
    async with staged(tmp_path, engine) as stage:
        told = await whole(stage, path, body)
    assert (told["done"], told["done_reason"]) == (True, "load")
    assert not engine.received


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/api/chat", {"model": "gone", "messages": []}, 404, "The model 'gone' does not exist. Ask for one of: a."),
        ("/api/chat", [], 400, "The request body must be a JSON object, got list. Send an object."),
        ("/api/generate", {"model": 7, "prompt": "?"}, 400, "'model' must be a string, got 7. Send a model's name."),
        ("/api/chat", {**QUESTION, "options": {"temperature": 9}}, 400, "temperature must be in [0, 2]"),
        ("/api/embed", {"model": "a", "input": "x"}, 404,
         "The model 'a' does not serve /api/embed. Ask a model made for it."),
        ("/api/nothing", {}, 404, "There is no such route. GET /v1/models lists what is served."),
    ],
)  # fmt: skip
async def test_refusals_are_one_sentence(tmp_path: Path, path: str, body: Any, status: int, message: str) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage, stage.session.post(path, json=body) as answer:
        assert (answer.status, await answer.json()) == (status, {"error": message})


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("failure", "status"),
    [("die_before_answer", 502), ("die_before_first_event", 502), ("error_first", 400), ("hang", 504)],
)
async def test_what_fails_before_the_first_line_gets_a_status(
    tmp_path: Path, failure: str, status: int, stream: bool
) -> None:
    engine = FakeEngine(name="a", failure=failure)
    async with (
        staged(tmp_path, engine, timeouts={"response_s": 0.3}) as stage,
        stage.session.post("/api/chat", json={**QUESTION, "stream": stream}) as answer,
    ):
        assert answer.status == status
        assert set(await answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("die_between_events", "The engine of the model 'a' failed during the request."),
        ("die_mid_event", "The engine of the model 'a' failed during the request."),
        ("no_done", "The engine of the model 'a' failed during the request."),
        ("error_event", "engine trouble"),
        ("hang_mid_stream", "The engine of the model 'a' did not answer in time."),
    ],
)
async def test_a_stream_that_breaks_ends_in_a_line_that_says_so(tmp_path: Path, failure: str, message: str) -> None:
    engine = FakeEngine(name="a", tokens=8, failure=failure)
    async with staged(tmp_path, engine, timeouts={"response_s": 0.5, "stream_idle_s": 0.2}) as stage:
        told = await lines(stage, "/api/chat", QUESTION)
        assert told[-1] == {"error": message}
        assert not any(line.get("done") for line in told)
        assert stage.stats().interrupted_total == 1
        async with stage.session.post("/api/chat", json={**QUESTION, "stream": False}) as answer:
            assert answer.status in (502, 504)
            assert await answer.json() == {"error": message}


async def test_a_client_that_leaves_ends_the_engines_work(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=1000, token_delay_s=0.01)
    async with staged(tmp_path, engine) as stage:
        async with stage.session.post("/api/chat", json=QUESTION) as answer:
            await answer.content.readline()
            answer.close()
        assert await eventually(lambda: engine.received[0].cancelled_at is not None) < 0.5


async def test_many_lines_at_once_are_not_mixed(tmp_path: Path) -> None:
    first, second = FakeEngine(name="aaa", token="x", tokens=20), FakeEngine(name="bbb", token="y", tokens=20)
    async with staged(tmp_path, first, second) as stage:

        async def one(model: str) -> str:
            told = await lines(stage, "/api/chat", {**QUESTION, "model": model})
            return "".join(line["message"]["content"] for line in told)

        texts = await asyncio.gather(*(one(("aaa", "bbb")[number % 2]) for number in range(24)))
    assert texts == ["x" * 20, "y" * 20] * 12


async def test_embeddings_in_both_forms(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", embeds=True)
    async with staged(tmp_path, engine) as stage:
        told = await whole(stage, "/api/embed", {"model": "a", "input": ["why"]})
        older = await whole(stage, "/api/embeddings", {"model": "a", "prompt": "why"})
    assert (told["model"], told["embeddings"], told["prompt_eval_count"]) == ("a", [[0.5, -1.0]], 1)
    assert older == {"embedding": [0.5, -1.0]}
    assert engine.received[0].path == "/v1/embeddings"


async def test_the_lists_of_models(tmp_path: Path) -> None:
    models = [{"name": "a", "adapters": ["sql"], "socket": str(tmp_path / "a.sock"), "capabilities": ["tools"]}]
    async with staged(tmp_path, FakeEngine(name="a", adapters=("sql",), max_model_len=512), models=models) as stage:
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].max_model_len == 512)
        cards = (await stage.json("/api/tags"))["models"]
        assert [(card["name"], card["model"], card["size"]) for card in cards] == [
            ("a:latest", "a:latest", 0),
            ("sql:latest", "sql:latest", 0),
        ]
        assert [len(card["digest"]) for card in cards] == [64, 64]
        assert cards[0]["digest"] != cards[1]["digest"]
        assert cards[1]["details"]["parent_model"] == "a"
        (running,) = (await stage.json("/api/ps"))["models"]
        assert (running["name"], running["context_length"]) == ("a:latest", 512)
        assert await stage.json("/api/version") == {"version": API_VERSION}
        for key in ("model", "name"):
            shown = await whole(stage, "/api/show", {key: "A:latest"})
            assert shown["capabilities"] == ["completion", "tools"]
            assert shown["model_info"]["vllm.context_length"] == 512


async def test_a_model_that_is_not_ready_does_not_run(tmp_path: Path) -> None:
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        assert await stage.json("/api/ps") == {"models": []}
        assert len((await stage.json("/api/tags"))["models"]) == 1
        async with stage.session.post("/api/generate", json={"model": "a"}) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert await answer.json() == {"error": "The model 'a' is loading. Ask again in a moment."}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/blobs/sha256:29fdb92e57cf0827ded04ae6461b5931d01fa595843f55d36f5b275a52087dd2"),
    ],
)
async def test_models_are_not_changed_by_requests(tmp_path: Path, method: str, path: str) -> None:
    async with (
        staged(tmp_path, FakeEngine(name="a")) as stage,
        stage.session.request(method, path, json={"model": "x"}) as answer,
    ):
        assert answer.status == 501
        expected = "Models are not changed by requests. Ask the operator; GET /api/tags lists what is served."
        assert await answer.json() == {"error": expected}


async def test_show_of_nobodys_model_is_404(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        for body, status in (({"model": "gone"}, 404), ({}, 400), ({"name": 7}, 400)):
            async with stage.session.post("/api/show", json=body) as answer:
                assert answer.status == status
                assert set(await answer.json()) == {"error"}
