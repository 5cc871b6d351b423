"""Options of models.yaml, followed to the program that reads them last and needs no vLLM for it."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from axion_kernels.switches import DEFAULT, KERNELS, Switches

from agent.engine_unit import parse_environment
from deployment.models.engine_options import Kernels
from deployment.models.load import load_deployment
from deployment.models.option_rules import OWNED
from deployment.models.sizing import plan
from deployment.models.spec import Deployment
from deployment.render.files import Place, gateway_file, render
from deployment.render.release import compose
from tests.support.deployments import deployment, document, model, write_models
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.deployment.render.test_files import LAPTOP, SHARED
from tests.unit.gateway.test_stage import CHAT, Stage, gateway_on_stage

HERE = Place(root="/srv/axion", runner="supervisor")


def arguments(served: Deployment) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(rendered_alpha(served)["engines/alpha.yaml"])
    return read


def rendered_alpha(served: Deployment) -> dict[str, str]:
    checkpoints = {key: f"/m/{key}" for key in ("alpha", "beta", "alpha/sql", "alpha/law")}
    return {file.path: file.text for file in render(served, plan(served, LAPTOP, "/srv/axion"), HERE, checkpoints)}


def one(**changes: Any) -> Deployment:
    return deployment({"alpha": model(**changes)}, host=SHARED)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ({}, {"enable-auto-tool-choice": True, "tool-call-parser": "hermes"}),
        ({"tool_call_parser": "xlam"}, {"enable-auto-tool-choice": True, "tool-call-parser": "xlam"}),
        ({"enable_auto_tool_choice": False}, {}),
        ({"reasoning_parser": "deepseek_r1"}, {"reasoning-parser": "deepseek_r1"}),
    ],
)
def test_parsers_are_the_familys_unless_the_file_says_otherwise(
    engine: dict[str, Any], expected: dict[str, Any]
) -> None:
    given = arguments(one(engine=engine))
    assert {key: given.get(key) for key in expected} == expected
    assert ("tool-call-parser" in given) == (engine.get("enable_auto_tool_choice") is not False)


def test_adapters_are_told_to_the_engine_with_as_many_places_as_there_are() -> None:
    given = arguments(one(lora={"sql": {"path": "a"}, "law": {"path": "b"}}, engine={"max_lora_rank": 32}))
    assert given["enable-lora"] is True
    assert given["lora-modules"] == [
        '{"name": "sql", "path": "/m/alpha/sql"}',
        '{"name": "law", "path": "/m/alpha/law"}',
    ]
    assert (given["max-lora-rank"], given["max-loras"]) == (32, 2)
    assert not {"enable-lora", "lora-modules", "max-loras"} & arguments(one()).keys()


def test_every_argument_that_is_rendered_is_refused_as_an_extra_one() -> None:
    every = one(
        lora={"sql": {"path": "a"}},
        engine={
            "speculative_config": {"method": "ngram", "num_speculative_tokens": 2},
            "enable_prefix_caching": False,
            "enforce_eager": True,
            "trust_remote_code": True,
            "reasoning_parser": "qwen3",
        },
    )
    flags = {flag.replace("-", "_").removeprefix("no_") for flag in arguments(every)}
    assert flags - OWNED == set()


@pytest.mark.parametrize(
    ("kernels", "variable", "enabled", "named"),
    [
        ({"lm_head": True}, "+lm_head", DEFAULT | {"lm_head"}, {"lm_head"}),
        ({"sampler": False, "rms_norm": True}, "-sampler,+rms_norm", DEFAULT - {"sampler"}, {"rms_norm"}),
        ({}, None, DEFAULT, set()),
    ],
)
def test_a_switch_of_the_file_is_what_the_plug_in_reads(
    kernels: dict[str, bool],
    variable: str | None,
    enabled: set[str],
    named: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = rendered_alpha(one(kernels=kernels))["engines/alpha.env"]
    found = parse_environment(text, Path("alpha.env")).get("AXION_KERNELS")
    assert found == variable
    monkeypatch.setenv("AXION_KERNELS", found or "")
    assert Switches.from_environment() == Switches(enabled=frozenset(enabled), named=frozenset(named))


def test_a_switch_exists_for_every_kernel() -> None:
    assert list(Kernels.model_fields) == list(KERNELS)


def test_a_chat_template_travels_with_the_release_and_its_change_restarts_that_engine_only(tmp_path: Path) -> None:
    own = model(engine={"chat_template": "own.jinja"})
    write_models(tmp_path / "models.yaml", document({"alpha": own, "beta": model()}, host=SHARED))
    units = []
    for text in ("Say {{ messages }}\n", "Say {{ messages[0] }}\n"):
        (tmp_path / "own.jinja").write_text(text)
        served = load_deployment(tmp_path / "models.yaml")
        files = render(served, plan(served, LAPTOP, "/r"), HERE, {"alpha": "/a", "beta": "/b"})
        by_path = {file.path: file.text for file in files}
        assert by_path["engines/alpha.jinja"] == text
        assert (
            yaml.safe_load(by_path["engines/alpha.yaml"])["chat-template"] == "/srv/axion/current/engines/alpha.jinja"
        )
        assert "chat-template" not in yaml.safe_load(by_path["engines/beta.yaml"])
        units.append(compose(files, build="b", engines=served.models, fingerprints={}).units)
    assert units[0]["alpha"] != units[1]["alpha"]
    assert (units[0]["beta"], units[0]["gateway"]) == (units[1]["beta"], units[1]["gateway"])


LIMITS = {
    "max_body": "1KiB", "max_held": 3, "body_s": 9.0, "connect_s": 1.5, "response_s": 0.3, "stream_idle_s": 0.2,
    "probe_s": 0.5, "probe_interval_s": 0.02, "drain_s": 2.0, "hold_s": 7.0, "queue_s": 8.0, "ping_s": 9.0,
    "load_s": 5.5,
}  # fmt: skip


def config_of(gateway: dict[str, Any], root: Path) -> bytes:
    """gateway.json as a release has it, but on a port of its own."""
    served = deployment({"alpha": model()}, gateway=gateway, host=SHARED)
    text = gateway_file(served, plan(served, LAPTOP, str(root)), Place(root=str(root), runner="supervisor")).text
    return text.replace('"port": 8080', '"port": 0').encode()


async def test_every_limit_of_the_file_is_one_of_the_running_gateways(tmp_path: Path) -> None:
    async with gateway_on_stage(config_of(LIMITS, tmp_path)) as stage:
        seen = (await stage.json("/stats"))["config"]
        assert seen["timeouts"] == {key: value for key, value in LIMITS.items() if key.endswith("_s")}
        assert seen["max_body_bytes"] == 1024
        assert stage.gateway.fleet.config.max_held == 3


async def timed(stage: Stage, **more: Any) -> tuple[int, str, float]:
    began = time.monotonic()
    async with stage.session.post(CHAT, json={"model": "alpha", "messages": [], **more}) as answer:
        return answer.status, await answer.text(), time.monotonic() - began


@pytest.mark.parametrize(
    ("limit", "failure", "asked", "status", "code"),
    [
        ({"response_s": 0.3}, "hang", {}, 504, "upstream_timeout"),
        ({"stream_idle_s": 0.3}, "hang_mid_stream", {"stream": True}, 200, "upstream_timeout"),
        ({"max_body": "1KiB"}, "none", {"pad": "x" * 2000}, 413, "too_large"),
    ],
)
async def test_a_limit_of_the_file_is_kept_by_the_running_gateway(
    limit: dict[str, Any], failure: str, asked: dict[str, Any], status: int, code: str, tmp_path: Path
) -> None:
    """And not by one without it: then the request is still waiting, or served."""
    (tmp_path / "run").mkdir()
    fast = {"probe_interval_s": 0.02}
    async with running(FakeEngine(name="alpha", failure=failure), tmp_path / "run" / "alpha.sock"):
        async with gateway_on_stage(config_of({**fast, **limit}, tmp_path)) as stage:
            found, text, took_s = await timed(stage, **asked)
            assert (found, code in text) == (status, True), text
            assert took_s < 2
        async with gateway_on_stage(config_of(fast, tmp_path)) as stage:
            if failure == "none":
                assert (await timed(stage, **asked))[0] == 200
                return
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(timed(stage, **asked), 1)
