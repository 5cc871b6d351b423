"""A report as llm-d-benchmark reads it. Names and units are those of its schema 0.2.1, whose objects are closed."""

import json
from pathlib import Path

import pytest

from build.benchmark.document import to_json
from build.benchmark.figures import load_of
from build.benchmark.llm_d import exported
from build.cli.bench import bench_export
from build.errors import DeployError
from tests.support.bench_reports import cell, generated, report

NAME = "benchmark_report_v0.2.1,_alpha-chat-c1-cold_alpha.json"


def test_a_load_is_a_document_of_its_own_with_every_figure_in_its_unit() -> None:
    document = json.loads(exported(report())[NAME])
    assert set(document) == {"version", "run", "scenario", "results"}
    assert document["version"] == "0.2.1"
    assert set(document["run"]) == {"uid", "eid", "time", "description", "keywords"}
    assert document["run"]["time"] == {"duration": "PT6.000S"}
    assert document["run"]["keywords"] == ["chat", "cold"]
    assert document["run"]["description"] == (
        "Measured: alpha alone on somewhere, begun 2026-12-01T00:00:00Z, release 20261201T000000-aaaaaaaa. Latencies "
        "are of single requests, as their client saw them; rates are over the whole load."
    )
    aggregate = document["results"]["request_performance"]["aggregate"]
    means = {
        name: (figure["units"], round(figure["mean"], 6))
        for kind in ("latency", "throughput")
        for name, figure in aggregate[kind].items()
    }
    assert means == {  # four requests, one after the other: 1.5 s, of which 0.5 to the first of 11 tokens
        "time_to_first_token": ("s", 0.5),
        "normalized_time_per_output_token": ("s/token", 0.136364),
        "time_per_output_token": ("s/token", 0.1),
        "inter_token_latency": ("s/token", 0.1),
        "request_latency": ("s", 1.5),
        "input_token_rate": ("tokens/s", 66.666667),
        "output_token_rate": ("tokens/s", 7.333333),
        "total_token_rate": ("tokens/s", 74.0),
        "request_rate": ("queries/s", 0.666667),
    }
    assert aggregate["requests"]["total"] == 4
    assert aggregate["requests"]["failures"] == 0
    assert document["scenario"]["load"]["standardized"] == {
        "tool": "vllm-benchmark",
        "tool_version": "0.32.0",
        "source": "random",
        "input_seq_len": {"distribution": "fixed", "value": 100.0, "min": 100, "max": 100},
        "output_seq_len": {"distribution": "fixed", "value": 11.0, "min": 11, "max": 11},
        "concurrency": 1,
    }
    engine, gateway = document["scenario"]["stack"]
    assert engine["standardized"] == {
        "kind": "inference_engine",
        "tool": "vllm",
        "tool_version": "0.32.0",
        "role": "replica",
        "replicas": 1,
        "model": {"name": "alpha"},
        "accelerator": {"model": "x86_64", "count": 2, "parallelism": {"tp": 1, "dp": 1}},
    }
    assert gateway["standardized"]["kind"] == "generic"


def test_a_distribution_is_that_of_single_requests() -> None:
    document = json.loads(exported(report(cell([load_of("alpha", generated([1.0, 2.0, 3.0, 4.0]))])))[NAME])
    answers = document["results"]["request_performance"]["aggregate"]["latency"]["request_latency"]
    assert {name: round(answers[name], 4) for name in ("min", "p25", "p50", "p95", "max", "mean", "stddev")} == {
        "min": 1.0, "p25": 1.75, "p50": 2.5, "p95": 3.85, "max": 4.0, "mean": 2.5, "stddev": 1.118,
    }  # fmt: skip


def test_models_that_were_asked_together_have_a_document_each_which_says_so() -> None:
    together = cell([load_of("alpha", generated([1.5] * 4)), load_of("beta", generated([1.5] * 4, counted=40))])
    documents = [json.loads(text) for text in exported(report(together)).values()]
    said = [document["run"]["description"] for document in documents]
    assert said[0].startswith("Measured: alpha beside beta on somewhere")
    assert said[1].endswith("rates are over the whole load. the engine counted 40 tokens, the client 44.")
    assert documents[0]["run"]["eid"] == documents[1]["run"]["eid"]
    assert documents[0]["run"]["uid"] != documents[1]["run"]["uid"]


def test_the_files_are_written_beside_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(to_json(report()))
    bench_export(str(tmp_path), None)
    assert [path.name for path in (tmp_path / "llm-d").iterdir()] == [NAME]
    assert capsys.readouterr().out == f"{tmp_path}/llm-d: 1 files in the schema of llm-d-benchmark 0.2.1\n"


def test_a_report_without_a_result_and_an_odd_directory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(to_json(report(cell([load_of("alpha", generated([]))]))))
    with pytest.raises(DeployError, match=r"no load in it has a result\. Measure again\.$"):
        bench_export(str(tmp_path), None)
    (tmp_path / "report.json").write_text(to_json(report()))
    (tmp_path / "file").touch()
    with pytest.raises(DeployError, match=r"^--out: .*/file: cannot be written: .*\. Name another directory\.$"):
        bench_export(str(tmp_path / "report.json"), str(tmp_path / "file"))
