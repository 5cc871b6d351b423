"""Which engine a request reaches, what it is told, and what a request without an engine is answered."""

import json
import sys
from pathlib import Path
from types import FrameType

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import fleet
from gateway.config import GatewayConfig
from gateway.fleet import registry_of
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, config_json, eventually, gateway_on_stage, staged

GATEWAY = Path(fleet.__file__).parent
NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,6}", fullmatch=True)


@given(st.lists(NAMES, min_size=2, max_size=8, unique=True), st.data())
def test_every_name_means_its_model_and_every_other_name_means_none(names: list[str], data: st.DataObject) -> None:
    served = names[: data.draw(st.integers(1, len(names) - 1))]
    aliases = {alias: data.draw(st.sampled_from(served)) for alias in names[len(served) :]}
    models = [
        {
            "name": name,
            "socket": f"/run/{name}",
            "aliases": [alias for alias, owner in aliases.items() if owner == name],
        }
        for name in served
    ]
    registry = registry_of(
        GatewayConfig.model_validate({"listen": [{"port": 0}], "default_model": served[-1], "models": models})
    )
    expected = {**{name: name for name in served}, **aliases}
    assert {name: registry.resolve(name) for name in names} == expected
    for word in ("", "auto", "default", None):
        assert registry.resolve(word) == (expected.get(word, served[-1]) if word else served[-1])
    assert registry.resolve("Nobody") is None


async def test_a_canonical_name_leaves_the_body_untouched(tmp_path: Path) -> None:
    engine = FakeEngine(name="a")
    raw = b'{ "messages":[] ,\n "model":"a", "n":1.50, "use_semantic_router":true}'
    async with (
        staged(tmp_path, engine) as stage,
        stage.session.post(CHAT, data=raw, headers={"Content-Type": "application/json"}) as answer,
    ):
        assert answer.status == 200
    assert engine.received[0].body == raw


@pytest.mark.parametrize("asked", ["Phi-4:mini", "default", "auto", "", None])
async def test_aliases_and_default_words_reach_the_engine_under_its_own_name(tmp_path: Path, asked: str | None) -> None:
    engine = FakeEngine(name="a")
    async with staged(tmp_path, engine, aliases={"a": ["Phi-4:mini"]}) as stage, stage.chat(asked, n=1) as answer:
        assert (answer.status, answer.headers["X-Served-Model"]) == (200, "a")
        assert (await answer.read()).startswith(engine.received[0].sent[:-1])
    assert json.loads(engine.received[0].body) == {"model": "a", "messages": [], "n": 1}


async def test_an_unknown_model_is_404_and_names_what_is_served(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a"), FakeEngine(name="b")) as stage, stage.openai() as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-oss", messages=[])
    assert caught.value.body == {
        "message": "The model 'gpt-oss' does not exist. Ask for one of: a, b.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("CONNECT", "/v1/models", 404, "not_found"),
        ("POST", "/sleep", 404, "not_found"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
    ],
)
async def test_unknown_routes_and_methods_get_the_envelope(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage, stage.session.request(method, path) as answer:
        assert answer.status == status
        error = (await answer.json())["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == code
        assert answer.headers["X-Request-Id"]


async def test_an_engines_own_refusal_passes_byte_for_byte(tmp_path: Path) -> None:
    expected = {
        "error": {
            "message": "temperature must be in [0, 2]",
            "type": "BadRequestError",
            "param": "temperature",
            "code": 400,
        }
    }
    async with staged(tmp_path, FakeEngine(name="a")) as stage, stage.chat(temperature=9) as answer:
        assert answer.status == 400
        assert await answer.read() == json.dumps(expected).encode()


async def test_a_route_that_the_model_does_not_serve_is_said_to_be_so(tmp_path: Path) -> None:
    engines = FakeEngine(name="a"), FakeEngine(name="b", embeds=True)
    async with staged(tmp_path, *engines) as stage, stage.openai() as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.embeddings.create(model="a", input="x", encoding_format="float")
        assert caught.value.code == "unsupported_route"
        assert "'a' does not serve /v1/embeddings" in caught.value.message
        answer = await client.embeddings.create(model="b", input="x", encoding_format="float")
        assert answer.data[0].embedding == [0.5, -1.0]


async def test_the_model_list_keeps_the_keys_that_earlier_clients_read(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a", max_model_len=512), aliases={"a": ["A"]}) as stage:
        listed = await stage.json("/v1/models")
        created = listed["data"][0].pop("created")
        assert isinstance(created, int)
        assert listed == {
            "object": "list",
            "data": [
                {
                    "id": "a",
                    "object": "model",
                    "owned_by": "local",
                    "permission": [],
                    "root": "a",
                    "parent": None,
                    "description": "",
                    "domain": "general",
                    "status": "loaded",
                    "aliases": ["A"],
                    "max_model_len": 512,
                }
            ],
        }
        assert (await stage.json("/v1/models/A"))["id"] == "a"
        async with stage.openai() as client:
            assert [model.id async for model in client.models.list()] == ["a"]


async def test_a_model_whose_engine_is_absent_is_listed_as_available(tmp_path: Path) -> None:
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        assert (await stage.json("/v1/models"))["data"][0]["status"] == "available"


async def test_an_adapter_is_listed_asked_and_answered_under_its_own_name(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", adapters=("sql",))
    models = [{"name": "a", "aliases": ["b"], "adapters": ["sql"], "socket": str(tmp_path / "a.sock")}]
    async with staged(tmp_path, engine, models=models) as stage:
        cards = (await stage.json("/v1/models"))["data"]
        assert [(card["id"], card["parent"], card["aliases"]) for card in cards] == [
            ("a", None, ["b"]),
            ("sql", "a", []),
        ]
        assert (await stage.json("/v1/models/sql"))["id"] == "sql"
        raw = b'{"model": "sql", "messages": []}'
        async with stage.session.post(CHAT, data=raw, headers={"Content-Type": "application/json"}) as answer:
            assert (answer.status, answer.headers["X-Served-Model"]) == (200, "sql")
        assert engine.received[0].body == raw
        async with stage.chat("b") as answer:
            assert answer.headers["X-Served-Model"] == "a"
        assert json.loads(engine.received[1].body)["model"] == "a"
        assert list((await stage.json("/stats"))["models"]) == ["a"]


async def test_a_request_passes_through_these_files_from_its_socket_to_its_engine(tmp_path: Path) -> None:
    """Those in which a function runs before the engine has it. The first one listens and has the table of routes."""
    engine, passed = FakeEngine(name="a"), ["server"]

    def note(frame: FrameType, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and GATEWAY in file.parents and not engine.received:
            name = file.relative_to(GATEWAY).with_suffix("").as_posix()
            passed.extend({name}.difference(passed))

    async with staged(tmp_path, engine, timeouts={"probe_interval_s": 60}) as stage:
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        sys.setprofile(note)
        try:
            async with stage.chat(stream=True) as answer:
                await answer.read()
        finally:
            sys.setprofile(None)
    assert passed == [
        "server",
        "connection",
        "app",
        "headers",
        "protocols/__init__",
        "request_context",
        "browsers",
        "tenancy",
        "keys",
        "proxy",
        "body_intake",
        "placing",
        "body",
        "fleet",
        "output_cap",
        "ping",
        "admission",
        "upstream",
        "fair_queue",
        "engine_connections",
        "http_answer",
    ]
