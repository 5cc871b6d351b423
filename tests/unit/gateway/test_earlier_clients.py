"""What clients of the earlier server call and read: the shapes they know, with the truth in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.performance import with_performance
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, config_json, gateway_on_stage, staged


async def test_the_overviews_keep_the_keys_that_were_read(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a"), FakeEngine(name="b")) as stage:
        index, health, stats = await stage.json("/"), await stage.json("/health"), await stage.json("/stats")
        assert await stage.json("/models") == await stage.json("/v1/models")
        experts = (await stage.json("/experts"))["experts"]
    assert {"name", "version"} <= set(index)
    assert (index["models_loaded"], index["models_available"]) == (2, 2)
    assert (health["status"], health["routing_enabled"], health["consensus_enabled"]) == ("healthy", False, False)
    assert (health["orchestrator_ready"], health["experts_ready"]) == (True, 2)
    assert 0 < health["ram_usage_percent"] < 100
    assert stats["models_loaded"] == stats["models_available"] == ["a", "b"]
    assert stats["router_stats"] == {"num_experts": 2}
    assert stats["lazy_loading"] == {"enabled": False, "total_experts": 2}
    assert stats["config"]["lazy_loading"] == {"enabled": False}
    assert (stats["config"]["streaming_enabled"], stats["config"]["consensus_enabled"]) == (True, False)
    assert [(expert["expert_id"], expert["domain"], expert["status"]) for expert in experts] == [
        ("a", "general", "loaded"),
        ("b", "general", "loaded"),
    ]


async def test_health_is_not_always_healthy(tmp_path: Path) -> None:
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage, stage.session.get("/health") as answer:
        assert answer.status == 503
        told = await answer.json()
    assert (told["status"], told["orchestrator_ready"], told["experts_ready"]) == ("unhealthy", False, 0)


@pytest.mark.parametrize("route", [CHAT, "/v1/completions"])
async def test_a_whole_answer_says_how_fast_it_was(tmp_path: Path, route: str) -> None:
    engine = FakeEngine(name="a", tokens=4, first_token_delay_s=0.2)
    asked = {"model": "a", "messages": [], "use_semantic_router": True}
    async with staged(tmp_path, engine) as stage:
        async with stage.session.post(route, json=asked) as answer:
            told = await answer.json()
            assert int(answer.headers["Content-Length"]) == len(await answer.read())
        async with stage.session.post(route, json={**asked, "stream": True}) as answer:
            assert b"performance" not in await answer.read()
    figures = told.pop("performance")
    assert told == json.loads(engine.received[0].sent)
    assert 0.2 <= figures["generation_time"] < 0.6
    assert figures["tokens_per_second"] == pytest.approx(4 / figures["generation_time"], rel=0.01)
    assert "use_semantic_router" in json.loads(engine.received[0].body)


async def test_the_openai_client_reads_performance_as_one_more_key(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage, stage.openai() as client:
        answer = await client.chat.completions.create(model="a", messages=[], extra_body={"top_k": 5})
    assert answer.choices[0].message.content == "toktoktok"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert set(answer.model_dump()["performance"]) == {"generation_time", "tokens_per_second"}


FIGURES = b'"performance":{"generation_time": 2.0, "tokens_per_second": 5.0}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"usage":{"completion_tokens":10}}', b'{"usage":{"completion_tokens":10},' + FIGURES + b"}"),
        (b' { "n":1.50, "usage":{"completion_tokens": 10} } \n',
         b' { "n":1.50, "usage":{"completion_tokens": 10},' + FIGURES + b"} \n"),
        (b'{"text":"\\"completion_tokens\\":99","usage":{"completion_tokens":10},"x":"}"}',
         b'{"text":"\\"completion_tokens\\":99","usage":{"completion_tokens":10},"x":"}",' + FIGURES + b"}"),
        *((body, body) for body in (b"", b"{}", b"[]", b'{"usage":null}', b'[{"completion_tokens":10}]', b"{torn",
                                    b'{"completion_tokens":10} trailing', b'{"performance":1,"completion_tokens":10}')),
    ],
)  # fmt: skip
def test_the_figures_are_added_at_the_top_and_every_other_byte_stays(body: bytes, expected: bytes) -> None:
    assert with_performance(body, 2.0) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("a", {"model": "a", "temperature": 0.7, "top_p": 0.9}),
        ("a_json", {"model": "a", "temperature": 0, "response_format": {"type": "json_object"}}),
        ("A_JSON:latest", {"model": "a", "temperature": 0, "response_format": {"type": "json_object"}}),
        ("plain", {"model": "a", "temperature": 0.7, "top_p": 0.9}),
    ],
)
async def test_one_engine_serves_variants_of_a_model_by_name(
    tmp_path: Path, asked: str, expected: dict[str, Any]
) -> None:
    settings = {"a_json": {"set": {"temperature": 0, "response_format": {"type": "json_object"}}, "strip": ["top_p"]}}
    models = [
        {"name": "a", "aliases": ["a_json", "plain"], "socket": str(tmp_path / "a.sock"), "router_settings": settings}
    ]
    engine = FakeEngine(name="a")
    async with (
        staged(tmp_path, engine, models=models) as stage,
        stage.session.post(CHAT, json={"model": asked, "temperature": 0.7, "top_p": 0.9}) as answer,
    ):
        assert answer.status == 200
    assert json.loads(engine.received[0].body) == expected


async def test_who_names_no_model_gets_the_default_models_settings(tmp_path: Path) -> None:
    models = [{"name": "a", "socket": str(tmp_path / "a.sock"), "router_settings": {"a": {"set": {"seed": 7}}}}]
    engine = FakeEngine(name="a")
    async with staged(tmp_path, engine, models=models) as stage, stage.session.post(CHAT, json={}) as answer:
        assert answer.status == 200
    assert json.loads(engine.received[0].body) == {"model": "a", "seed": 7}
