"""A report in the schema of llm-d-benchmark, so that its analysis reads what was measured here.

A document for each load. Facts: github.com/llm-d/llm-d-benchmark, llmdbenchmark/analysis/benchmark_report, schema 0.2.1
as of 2026-08-21. What it has a place for and we do not know is left out.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from hashlib import sha256

from build.benchmark.document import CellReport, Report
from build.benchmark.figures import Load, percentile

SCHEMA_VERSION = "0.2.1"
PERCENTILES = {"p1": 1, "p5": 5, "p10": 10, "p25": 25, "p50": 50, "p75": 75, "p90": 90, "p95": 95, "p99": 99}
ENGINE, GATEWAY = "engine", "gateway"

Document = Mapping[str, object]


def exported(report: Report) -> Mapping[str, str]:
    """A document for each load by its file's name, which their aggregation looks for. One without a result has none."""
    return {
        f"benchmark_report_v{SCHEMA_VERSION},_{cell.name}_{load.model}.json": json.dumps(
            _document(report, cell, load), indent=1
        )
        for cell, load in report.loads
        if load.requests
    }


def _document(report: Report, cell: CellReport, load: Load) -> Document:
    experiment = f"{report.host} {report.began_at}"
    return {
        "version": SCHEMA_VERSION,
        "run": {
            "uid": _digest(experiment, report.release, cell.name, load.model),
            "eid": _digest(experiment),
            "time": {"duration": f"PT{load.duration_s:.3f}S"},
            "description": _description(report, cell, load),
            "keywords": [cell.profile, "warm" if cell.is_warm else "cold", *(["quick"] if report.is_quick else [])],
        },
        "scenario": {"stack": _stack(report, load), "load": _workload(report, cell, load)},
        "results": {
            "request_performance": {"aggregate": _performance(load)},
            **_prefix_hits(load),
        },
    }


def _digest(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def _description(report: Report, cell: CellReport, load: Load) -> str:
    """What our report says of a load, for which theirs has no field."""
    others = [name for name in cell.models if name != load.model]
    beside = f" beside {', '.join(others)}" if others else " alone"
    doubt = f" {load.mark}." if load.mark else ""
    return (
        f"Measured: {load.model}{beside} on {report.host}, begun {report.began_at}, release {report.release}. "
        f"Latencies are of single requests, as their client saw them; rates are over the whole load.{doubt}"
    )


def _stack(report: Report, load: Load) -> Sequence[Document]:
    threads = next((each.threads for each in report.rooflines if each.model == load.model), 0)
    engine = {
        "kind": "inference_engine",
        "tool": "vllm",
        "tool_version": _vllm(report),
        "role": "replica",
        "replicas": 1,
        "model": {"name": load.model},
        "accelerator": {
            "model": report.machine.processor.get("Model name", report.machine.processor.get("Architecture", "CPU")),
            "count": threads,
            "parallelism": {"tp": 1, "dp": 1},
        },
    }
    gateway = {"kind": "generic", "tool": "axion gateway", "tool_version": f"of release {report.release}"}
    return [
        {
            "metadata": {"label": label, "cfg_id": _digest(report.release, label, load.model), "description": said},
            "standardized": standardized,
            "native": {},
        }
        for label, standardized, said in (
            (ENGINE, engine, "The accelerators are the threads that the engine computes on."),
            (GATEWAY, gateway, "On the same host. All requests go through it."),
        )
    ]


def _workload(report: Report, cell: CellReport, load: Load) -> Document:
    return {
        "metadata": {
            "cfg_id": _digest(cell.name, load.model, str(cell.seed)),
            "description": f"Profile {cell.profile}.",
        },
        "standardized": {
            "tool": "vllm-benchmark",
            "tool_version": _vllm(report),
            "source": "random",
            "input_seq_len": _lengths([each.prompt_tokens for each in load.requests]),
            "output_seq_len": _lengths([each.output_tokens for each in load.requests]),
            "concurrency": cell.concurrency,
        },
        "native": {"args": {"seed": cell.seed, "temperature": 0, "ignore_eos": True}},
    }


def _vllm(report: Report) -> str:
    return report.vllm or f"of engine environment {report.engine_environment}"


def _lengths(tokens: Sequence[int]) -> Document:
    kind = "fixed" if len(set(tokens)) == 1 else "other"
    return {"distribution": kind, "value": statistics.fmean(tokens), "min": min(tokens), "max": max(tokens)}


def _performance(load: Load) -> Document:
    requests = load.requests
    prompts = sum(each.prompt_tokens for each in requests) / load.duration_s
    return {
        "requests": {
            "total": len(requests) + load.failed,
            "failures": load.failed,
            "input_length": _statistics("count", [each.prompt_tokens for each in requests]),
            "output_length": _statistics("count", [each.output_tokens for each in requests]),
        },
        "latency": {
            "time_to_first_token": _statistics("s", [each.ttft_s for each in requests]),
            "normalized_time_per_output_token": _statistics(
                "s/token", [each.latency_s / each.output_tokens for each in requests]
            ),
            "time_per_output_token": _statistics("s/token", [each.tpot_s for each in requests]),
            "inter_token_latency": _statistics("s/token", [gap for each in requests for gap in each.gaps_s]),
            "request_latency": _statistics("s", [each.latency_s for each in requests]),
        },
        "throughput": {
            "input_token_rate": {"units": "tokens/s", "mean": prompts},
            "output_token_rate": {"units": "tokens/s", "mean": load.output_tokens_per_s},
            "total_token_rate": {"units": "tokens/s", "mean": prompts + load.output_tokens_per_s},
            "request_rate": {"units": "queries/s", "mean": load.requests_per_min / 60},
        },
    }


def _statistics(units: str, values: Sequence[float]) -> Document | None:
    """A distribution as theirs; None of nothing: an answer of one token has no gaps."""
    if not values:
        return None
    return {
        "units": units,
        "mean": statistics.fmean(values),
        "stddev": statistics.pstdev(values),
        "min": min(values),
        **{name: percentile(values, percent) for name, percent in PERCENTILES.items()},
        "max": max(values),
    }


def _prefix_hits(load: Load) -> Document:
    if load.prefix_hit_share is None:
        return {}
    rate = {"units": "fraction", "mean": load.prefix_hit_share}
    return {"observability": {"components": [{"component_label": ENGINE, "aggregate": {"cache_hit_rate": rate}}]}}
