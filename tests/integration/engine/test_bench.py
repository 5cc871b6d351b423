"""`fab bench`: its generator against an engine of known times behind the real gateway, and a short run of it all."""

import asyncio
import json
from pathlib import Path

import pytest

from agent.bench_messages import LoadOrder, LoadResult
from build.benchmark.ablation import AblationReport
from build.benchmark.cells import Subject, generators, plan_cells
from build.benchmark.document import read_report
from build.benchmark.figures import Load, load_of
from build.benchmark.targets import verdicts
from build.engine.commands import BuildDirectory
from build.remote.executor import LocalExecutor, ask
from tests.support.fakes.engine import FakeEngine
from tests.support.live_deployment import DEMO_MODELS, LOAD_S, REAL, TINY, LiveDeployment
from tests.unit.gateway.test_stage import staged

pytestmark = pytest.mark.engine

TTFT_S, GAP_S = 2.0, 0.1
"""Long enough that what a busy machine adds, some 20 ms to a first token, is little of them."""
TOKENIZER = DEMO_MODELS.parent / "../../out/demo/models/smollm2-135m-instruct"


async def measured(directory: Path, build: Path, concurrency: int) -> tuple[Load, FakeEngine]:
    """Measure an engine of known times as `fab bench` would."""
    engine = FakeEngine(name="a", first_token_delay_s=TTFT_S, token_delay_s=GAP_S)
    (cell,) = plan_cells(["a"], ["chat"], [concurrency], is_quick=True)
    subject = Subject(name="a", tokenizer=str(TOKENIZER.resolve()), context_tokens=1024)
    async with staged(directory, engine) as stage:
        asked = tuple(generators(cell, {"a": subject}, 1, is_quick=True))
        order = LoadOrder(f"127.0.0.1:{stage.port}", None, asked, 500)
        agent = BuildDirectory.of(str(build.parent.parent), build.name).agent
        command = agent.command("bench-load", what="measure", stdin=order.to_json().encode(), timeout_s=560)
        result = await asyncio.to_thread(ask, LocalExecutor(), command, LoadResult)
    return load_of("a", result.generated["a"]), engine


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_figures_of_an_engine_of_known_times_are_true(
    tmp_path: Path, engine_python: str, concurrency: int
) -> None:  # fmt: skip
    """Medians, for another process may hold up this one now and then; what it costs is printed."""
    load, engine = await measured(tmp_path, Path(engine_python).parents[2], concurrency)
    tokens = load.requests[0].output_tokens
    true_s = TTFT_S + GAP_S * (tokens - 1)
    period_s = true_s + 2 * GAP_S  # the stand-in pauses before its usage and before [DONE] too; vLLM does not
    rounds = len(load.requests) / concurrency
    figures = {
        "TTFT p50": (load.ttft_s.p50, TTFT_S),
        "time per token p50": (load.tpot_s.p50, GAP_S),
        "gap mean": (load.gap_s.mean, GAP_S),
        "answer p50": (load.latency_s.p50, true_s),
        "tokens/s": (load.output_tokens_per_s, concurrency * tokens / period_s),
        "requests/min": (load.requests_per_min, 60 * concurrency / period_s),
    }
    for name, (found, truth) in figures.items():
        print(f"{name}: {found:.4f}, true {truth:.4f}, {found / truth - 1:+.2%}")
    print(f"{load.client_cpu_per_token_s * 1000:.3f} ms of the client's processor a token; {rounds:.0f} rounds")
    assert load.mark == ""
    assert load.engine_tokens == load.client_tokens == engine.generated == tokens * len(load.requests)
    for name, (found, truth) in figures.items():
        assert found == pytest.approx(truth, rel=0.02), name


def test_a_benchmark_of_a_real_model_is_a_report(live: LiveDeployment, tmp_path: Path) -> None:
    options = ("--only", REAL, "--quick", "--concurrency", "1", "--models", str(live.models_file))
    live.fab("bench", *options, "--out", str(tmp_path), "--ttft-s", "0.001", "--tokens-per-s", "0.5")
    report = read_report(tmp_path / "local")
    assert [(cell.name, load.mark) for cell, load in report.loads] == [
        (f"{REAL}-chat-c1-cold", ""),
        (f"{REAL}-chat-c1-warm", ""),
    ]
    (verdict,) = verdicts(report)
    assert [miss.split()[:2] for miss in verdict.misses] == [["TTFT", "p95"]]
    live.fab("bench-export", str(tmp_path / "local"))
    (cold, _) = sorted((tmp_path / "local" / "llm-d").iterdir())
    assert json.loads(cold.read_text())["scenario"]["stack"][0]["standardized"]["tool_version"] == "0.32.0"
    (roofline,) = report.rooflines
    assert 0 < (roofline.efficiency or 0) < 2
    (quality,) = report.quality
    assert quality.right >= 5
    assert 0.3 < (quality.bits_per_byte or 0) < 3
    assert (tmp_path / "local" / "report.html").read_text().startswith("<!doctype html>")


def test_an_ablation_starts_with_and_without_and_puts_back_what_served(live: LiveDeployment, tmp_path: Path) -> None:
    """Two rounds of two starts. What it brings is not judged: other work may keep the cores busy."""
    releases = live.root / "releases"
    served, there = (live.root / "current").readlink().name, sorted(releases.iterdir())
    options = ("--model", TINY, "--rounds", "2", "--quick", "--models", str(live.models_file), "--out", str(tmp_path))
    with pytest.raises(AssertionError, match="--off: not an optimisation that this model has, got speed"):
        live.fab("bench-ablate", *options, "--off", "prefix_caching,speed")
    live.fab("bench-ablate", *options, "--off", "prefix_caching", timeout_s=8 * LOAD_S)
    report = AblationReport.model_validate_json((tmp_path / "local" / "ablation.json").read_text())
    assert sorted((block.round, block.variant) for block in report.blocks) == [
        (0, "as it is"), (0, "prefix_caching"), (1, "as it is"), (1, "prefix_caching"),
    ]  # fmt: skip
    assert {(each.variant, each.figure, each.rounds) for each in report.effects} == {
        ("prefix_caching", figure, 2) for figure in ("tokens/s", "TTFT", "time per token")
    }
    assert all(load.mark == "" for block in report.blocks for pair in block.loads for load in pair.cold.loads)
    names = {block.variant: block.release for block in report.blocks}
    assert names["as it is"] == served != names["prefix_caching"]
    assert (live.root / "current").readlink().name == served
    assert sorted(releases.iterdir()) == there, "what was made to be measured is gone"
    assert live.is_serving
