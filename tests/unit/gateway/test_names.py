"""Which model a name means: as it was written, as Ollama's clients write it, in any case, or a part of it."""

import json
from pathlib import Path

import openai
import pytest

from gateway.config import GatewayConfig
from gateway.fleet import Registry, registry_of
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import staged


@pytest.fixture(scope="module")
def registry() -> Registry:
    models = [
        {"name": "phi4_fast", "aliases": ["phi4:mini", "phi", "general"], "socket": "/1", "adapters": ["law_es"]},
        {"name": "qwen_coder", "aliases": ["Qwen2.5-Coder", "complex"], "socket": "/2", "adapters": ["sql", "sqlite"]},
        {"name": "gemma3_multimodal", "aliases": ["COMPLEX"], "socket": "/3"},
    ]
    return registry_of(
        GatewayConfig.model_validate({"listen": [{"port": 0}], "default_model": "phi4_fast", "models": models})
    )


@pytest.mark.parametrize(
    ("asked", "model", "served"),
    [
        ("phi4_fast", "phi4_fast", "phi4_fast"),
        ("phi4_fast:latest", "phi4_fast", "phi4_fast"),
        ("phi4:mini", "phi4_fast", "phi4_fast"),
        ("PHI4:Mini", "phi4_fast", "phi4_fast"),
        ("Phi4_Fast:LATEST", "phi4_fast", "phi4_fast"),
        ("qwen2.5-coder", "qwen_coder", "qwen_coder"),
        ("coder", "qwen_coder", "qwen_coder"),
        ("multimodal", "gemma3_multimodal", "gemma3_multimodal"),
        ("complex", "qwen_coder", "qwen_coder"),  # as written, though another differs only in case
        ("COMPLEX", "gemma3_multimodal", "gemma3_multimodal"),
        ("LAW_es:latest", "phi4_fast", "law_es"),
        ("law", "phi4_fast", "law_es"),
        ("sql", "qwen_coder", "sql"),
        ("sqlit", "qwen_coder", "sqlite"),
        *((word, "phi4_fast", "phi4_fast") for word in (None, "", "default", "auto", "Auto", "default:latest")),
    ],
)
def test_a_name_means_one_model(registry: Registry, asked: str | None, model: str, served: str) -> None:
    assert registry.resolve(asked) == model
    assert registry.served_name(asked, model) == served


@pytest.mark.parametrize(
    "asked",
    ["gpt-4", "phi4_fast:q4", "a", "fa", "ql", "3_m l", "phi4_fast_v2", "_", ":latest:latest", "x" * 100_000, "sqli\n"],
)
def test_a_name_that_means_nothing_or_several_is_nobodys(registry: Registry, asked: str) -> None:
    assert registry.resolve(asked) is None


def test_a_part_that_two_models_have_is_nobodys() -> None:
    models = [{"name": name, "socket": f"/{name}"} for name in ("coder_small", "coder_large")]
    config = {"listen": [{"port": 0}], "default_model": "coder_small", "models": models}
    registry = registry_of(GatewayConfig.model_validate(config))
    assert registry.resolve("coder") is None
    assert registry.resolve("small") == "coder_small"


async def test_a_name_in_another_case_reaches_the_engine_under_its_own(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", adapters=("sql",))
    models = [{"name": "a", "aliases": ["Small"], "adapters": ["sql"], "socket": str(tmp_path / "a.sock")}]
    async with staged(tmp_path, engine, models=models) as stage, stage.openai() as client:
        for asked in ("SMALL:latest", "SQL:latest"):
            await client.chat.completions.create(model=asked, messages=[])
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="huge", messages=[])
    assert [json.loads(each.body)["model"] for each in engine.received] == ["a", "sql"]
