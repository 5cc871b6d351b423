"""Whether models met their targets. Four requests of the report: TTFT 0.5 s, then 10 tokens at 0.1 s, 10 tokens/s."""

import json
from pathlib import Path

import pytest

from build.benchmark.document import CellReport, Report, read_report, to_json
from build.benchmark.figures import load_of
from build.benchmark.tables import tables
from build.benchmark.targets import verdicts
from build.cli.asked_load import Asked
from build.errors import DeployError
from deployment.capacity.load import Target
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from tests.support.bench_reports import cell, generated, report

MODELS = Path(__file__).parents[4] / "models.yaml"


def alpha(concurrency: int = 1, *, is_warm: bool = False) -> CellReport:
    return cell([load_of("alpha", generated([1.5] * 4))], concurrency=concurrency, is_warm=is_warm)


def with_targets(*cells: CellReport, ttft_s: float | None = None, tokens_per_s: float | None = None) -> Report:
    target = Target(ttft_p95_s=ttft_s, tokens_per_s=tokens_per_s)
    return report(*cells).model_copy(update={"targets": {"alpha": target}})


def misses(found: Report) -> list[tuple[str, str]]:
    return [("; ".join(each.misses), each.held_back_by) for each in verdicts(found)]


def test_a_target_that_is_just_reached_is_met() -> None:
    assert misses(with_targets(ttft_s=0.5, tokens_per_s=9.99)) == [("", "")]


@pytest.mark.parametrize(
    ("goals", "concurrency", "miss", "cause"),
    [
        ({"ttft_s": 0.4}, 1, "TTFT p95 0.5 s instead of 0.4", "reading the prompt: computing"),
        ({"tokens_per_s": 12}, 1, "10 tokens/s instead of 12", "memory bandwidth"),
        ({"tokens_per_s": 25}, 1, "10 tokens/s instead of 25", "memory bandwidth: 20 tokens/s is the most, modelled"),
        ({"tokens_per_s": 12}, 4, "10 tokens/s instead of 12", "the requests beside it: they share each step"),
        ({"ttft_s": 0.1, "tokens_per_s": 12}, 1, "TTFT p95 0.5 s instead of 0.1; 10 tokens/s instead of 12",
         "memory bandwidth"),
    ],
)  # fmt: skip
def test_a_miss_says_by_how_much_and_what_held_it_back(
    goals: dict[str, float], concurrency: int, miss: str, cause: str
) -> None:
    assert misses(with_targets(alpha(concurrency), **goals)) == [(miss, cause)]


def test_models_beside_it_are_named_as_a_possible_cause() -> None:
    both = cell([load_of(name, generated([1.5] * 4)) for name in ("alpha", "beta")])
    assert misses(with_targets(both, ttft_s=0.1)) == [
        ("TTFT p95 0.5 s instead of 0.1", "the models beside it, or its own limit: see its loads alone")
    ]


def test_warm_prompts_other_models_and_loads_without_a_result_are_not_judged() -> None:
    nothing = cell([load_of("alpha", generated([]))])
    other = cell([load_of("beta", generated([1.5] * 4))])
    assert misses(with_targets(alpha(is_warm=True), nothing, other, ttft_s=0.1)) == []


def test_the_report_has_a_table_of_targets_only_where_some_were_given() -> None:
    (table,) = (each for each in tables(with_targets(ttft_s=0.4, tokens_per_s=5)) if each.heading == "Targets")
    assert table.rows == [
        ["alpha", "-", "chat", "1", "0.5", "0.4", "10", "5", "missed", "reading the prompt: computing"]
    ]  # fmt: skip
    assert "Targets" not in [each.heading for each in tables(report())]


def test_targets_come_from_options_or_from_a_load_file(tmp_path: Path) -> None:
    served = load_deployment(MODELS)
    assert Asked.of(None, None, None, None, None, None).targets(served) == {}
    assert Asked.of(None, None, None, None, 4.0, None).targets(served) == {
        name: Target(ttft_p95_s=4.0) for name in ("gemma3_multimodal", "mistral_balanced", "qwen_coder", "phi4_fast")
    }
    file = tmp_path / "load.yaml"
    file.write_text("requests_per_min: 60\nmodels:\n  phi4_fast: {tokens_per_s: 15, ttft_p95_s: 2}\n")
    assert Asked.of(str(file), None, None, None, None, None).targets(served) == {
        "phi4_fast": Target(ttft_p95_s=2.0, tokens_per_s=15.0)
    }


def test_targets_are_kept_in_the_report_and_an_older_report_has_none(tmp_path: Path) -> None:
    made = with_targets(ttft_s=0.4)
    (tmp_path / "report.json").write_text(to_json(made))
    assert read_report(tmp_path).targets == {"alpha": Target(ttft_p95_s=0.4)}
    older = json.loads(to_json(made))
    del older["targets"], older["vllm"]
    (tmp_path / "report.json").write_text(json.dumps(older))
    assert read_report(tmp_path).targets == {}


def test_mistakes_in_a_load_file_and_options_beside_it_are_told(tmp_path: Path) -> None:
    file = tmp_path / "load.yaml"
    file.write_text("requests_per_min: 60\nmodels: {phi5: {tokens_per_s: 15}}\n")
    with pytest.raises(ConfigError, match=r"no such model, got phi5"):
        Asked.of(str(file), None, None, None, None, None).targets(load_deployment(MODELS))
    with pytest.raises(DeployError, match=r"a file says all of the load, got options beside it. Write `ttft_p95_s: 4`"):
        Asked.of(str(file), None, None, None, 4.0, None).targets(load_deployment(MODELS))
