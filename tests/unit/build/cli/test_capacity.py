"""`fab capacity` as people and programs read it."""

import json
from pathlib import Path

import pytest

from build.benchmark.document import to_json
from build.benchmark.figures import load_of
from build.cli.asked_load import Asked
from build.cli.capacity import capacity, capacity_measured
from build.cli.tune import tune
from build.errors import DeployError
from deployment.errors import ConfigError
from tests.support.bench_reports import cell, generated, report
from tests.unit.deployment.capacity.test_calibration import TRUTH, measured

POINTS = {
    "schema": "axion.capacity.points/1",
    "vcpus": 8,
    "points": [point.model_dump() for point in measured(TRUTH, 0.05)],
}


def asked(file: str | None = None, **options: float) -> Asked:
    return Asked(file=file, options=options)


def test_it_answers_with_hosts_prices_and_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    capacity(None, asked(prompt_tokens=64, output_tokens=64), None, None, json=False)
    said = capsys.readouterr().out
    assert said.startswith("Modelled, not measured.")
    assert "phi4_fast is asked 3.3 times what it can complete." in said
    assert "One c4a-standard-32 does not meet this load (1.44 USD/hour on demand, 0.65 spot, in us-central1)." in said
    assert "Cheapest: 3 x c4a-highcpu-64, 7.27 USD/hour." in said
    assert "gemma3_multimodal: 25 requests/min = 0.417 a second, on each of 3 hosts" in said


def test_programs_get_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    capacity(None, asked(requests_per_min=4), "c4a-standard-32", None, json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["modelled"]) == ("axion.capacity/1", True)
    phi = said["models"]["phi4_fast"]
    assert phi["requests_per_min"] == 1
    assert phi["used"]["high"] < phi["used"]["middle"] < phi["used"]["low"] < 0.8
    assert phi["problems"] == []
    best = said["all_models_on_each_host"][0]
    assert best["hourly_usd"] > best["hourly_spot_usd"] > 0


def test_a_load_is_read_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "load.yaml"
    file.write_text("models:\n  phi4_fast: {requests_per_min: 2, ttft_p95_s: 30}\n")
    capacity(None, asked(str(file)), None, None, json=False)
    said = capsys.readouterr().out
    assert "One c4a-standard-32 meets it" in said
    with pytest.raises(DeployError, match=r"^--load: a file says all of the load, got options beside it\."):
        capacity(None, asked(str(file), output_tokens=5), None, None, json=False)


def test_a_machine_and_a_load_are_refused_together(tmp_path: Path) -> None:
    file = tmp_path / "load.yaml"
    file.write_text("requests_per_min: none\n")
    expected = (
        "--machine: no machine type of the catalog, got c4a-standard-33. Use one of c4a, such as c4a-standard-32.",
        'load.yaml:1 requests_per_min: not a number, got "none". Give requests a minute of all models, divided by '
        "shares.",
    )
    with pytest.raises(ConfigError) as caught:
        capacity(None, asked(str(file)), "c4a-standard-33", None, json=False)
    assert caught.value.problems == expected
    with pytest.raises(ConfigError) as caught:
        tune(None, asked(str(file)), "c4a-standard-33", write=False)
    assert caught.value.problems == expected


def test_models_that_do_not_fit_the_machine_are_refused_as_by_plan() -> None:
    with pytest.raises(ConfigError, match="models: c4a-standard-16 has 16 cores, got 32"):
        capacity(None, asked(), "c4a-standard-16", None, json=False)


def test_a_stack_says_machine_and_region(capsys: pytest.CaptureFixture[str]) -> None:
    capacity(None, asked(requests_per_min=4), None, "prod", json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["machine"], said["region"]) == ("c4a-standard-32", "us-central1")


def test_a_measured_host_is_answered_for_by_its_own_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points, load = tmp_path / "points.json", tmp_path / "load.yaml"
    points.write_text(json.dumps(POINTS))
    load.write_text("models: {qwen_coder: {requests_per_min: 1, output_tokens: 64}}")
    capacity_measured(None, asked(str(load)), str(points))
    said = capsys.readouterr().out
    assert said.startswith("Modelled from 12 measurements in points.json.")
    assert "qwen_coder: error on points that were not fitted: 7% for tokens/s, 18% for TTFT." in said


def test_a_report_of_a_benchmark_is_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, load = tmp_path / "report.json", tmp_path / "load.yaml"
    ran = [load_of("qwen_coder", generated([wait] * 4)) for wait in (1.5, 2.0)]
    cells = [cell([each], concurrency=clients) for each in ran for clients in (1, 2, 4)]
    file.write_text(to_json(report(*cells, cell([ran[0]], is_warm=True))))
    load.write_text("models: {qwen_coder: {requests_per_min: 1, prompt_tokens: 100, output_tokens: 11}}")
    capacity_measured("models.yaml", asked(str(load)), str(file), json=True)
    assert json.loads(capsys.readouterr().out)["measured"] == "report.json"
    capacity_measured("models.yaml", asked(str(load)), str(file))
    assert capsys.readouterr().out.startswith("Modelled from 6 measurements in report.json.")


def test_programs_get_the_answer_for_a_measured_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points, load = tmp_path / "points.json", tmp_path / "load.yaml"
    points.write_text(json.dumps(POINTS))
    load.write_text("models: {qwen_coder: {requests_per_min: 1, output_tokens: 64}}")
    capacity_measured(None, asked(str(load)), str(points), json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["modelled"], said["measured"]) == ("axion.capacity/1", True, "points.json")
    assert list(said["models"]) == ["qwen_coder"]
    qwen = said["models"]["qwen_coder"]
    assert qwen["requests_per_min"] == 1
    assert qwen["ttft_s"]["low"] == qwen["ttft_s"]["high"] > 0
    assert (round(qwen["error"]["throughput"], 2), round(qwen["error"]["ttft"], 2)) == (0.07, 0.18)


def test_too_few_points_of_one_model_hide_nothing_of_another(tmp_path: Path) -> None:
    points, load = tmp_path / "points.json", tmp_path / "load.yaml"
    first = POINTS["points"][0]  # type: ignore[index] # a list
    points.write_text(
        json.dumps({**POINTS, "points": [{**first, "model": name} for name in ("qwen_coder", "phi4_fast")]})
    )
    load.write_text(
        "requests_per_min: 3\nmodels: {qwen_coder: {share: 1}, phi4_fast: {share: 1}, mistral_balanced: {share: 1}}"
    )
    with pytest.raises(DeployError) as caught:
        capacity_measured(None, asked(str(load)), str(points))
    assert caught.value.problems == (
        "qwen_coder: 4 measurements are fitted, got 1. Measure two prompts, each at two concurrencies.",
        "phi4_fast: 4 measurements are fitted, got 1. Measure two prompts, each at two concurrencies.",
        "mistral_balanced: not measured. Measure it, or ask nothing of it.",
    )


def test_the_file_that_the_environment_names_is_asked_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AXION_MODELS", "examples/dev/models.yaml")
    capacity(None, asked(requests_per_min=1), "c4a-standard-8", None, json=True)
    assert list(json.loads(capsys.readouterr().out)["models"]) == ["qwen_coder", "phi4_fast"]
    capacity("models.yaml", asked(requests_per_min=1), None, None, json=True)
    assert len(json.loads(capsys.readouterr().out)["models"]) == 4


def test_what_was_not_measured_is_refused(tmp_path: Path) -> None:
    points = tmp_path / "points.json"
    points.write_text(json.dumps(POINTS))
    with pytest.raises(DeployError) as caught:
        capacity_measured(None, asked(prompt_tokens=2000), str(points))
    assert caught.value.problems == (
        "qwen_coder: prompt_tokens: measured from 64 to 512, got 2000. Measure nearer to it.",
        *(
            f"{name}: not measured. Measure it, or ask nothing of it."
            for name in ("gemma3_multimodal", "mistral_balanced", "phi4_fast")
        ),
    )
    points.write_text("{")
    with pytest.raises(DeployError, match="not JSON"):
        capacity_measured(None, asked(), str(points))
    with pytest.raises(DeployError, match="got c4a-standard-8 too"):
        capacity_measured(None, asked(), str(points), beside="c4a-standard-8")
