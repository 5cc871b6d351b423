"""One page of metrics for a host: every engine's figures beside the gateway's, told apart by model."""

import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.exposition import PAGE_BYTES, merged
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import staged

ENGINE = """\
# HELP python_info Python platform information.
# TYPE python_info gauge
python_info{implementation="CPython",version="3.11"} 1.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="phi4_fast"} 3.0
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="phi4_fast"} 1.5e+06
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="phi4_fast"} 2.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="phi4_fast"} 4.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="phi4_fast"} 4.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="phi4_fast"} 0.75
# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 2.5e+09
"""
OWN = "# TYPE gateway_waiting gauge\ngateway_waiting 0.0\n"


def samples(page: str) -> dict[tuple[str, str | None], float]:
    """Prometheus' own reader: name and model to value, and an error where the page is none."""
    return {
        (
            f"{each.name}[{each.labels['le']}]" if "le" in each.labels else each.name,
            each.labels.get("model"),
        ): each.value
        for family in text_string_to_metric_families(page)
        for each in family.samples
    }


def test_each_engines_samples_carry_the_name_of_their_model_and_stand_with_their_metric() -> None:
    page = merged(OWN, {"phi4_fast": ENGINE, "qwen_coder": ENGINE.replace(" 3.0", " 7.0")})
    found = samples(page)
    assert found["gateway_waiting", None] == 0
    assert found["vllm:num_requests_running", "phi4_fast"] == 3
    assert found["vllm:num_requests_running", "qwen_coder"] == 7
    assert found["vllm:prompt_tokens_total", "qwen_coder"] == 1.5e6
    assert found["vllm:time_to_first_token_seconds_bucket[+Inf]", "phi4_fast"] == 4
    assert found["process_resident_memory_bytes", "qwen_coder"] == 2.5e9
    assert len(found) == 1 + 2 * 8
    assert page.count("# TYPE vllm:time_to_first_token_seconds histogram") == 1
    metrics = [line.split("{")[0] for line in page.splitlines() if not line.startswith("#")]
    assert metrics[1:5] == ["python_info", "python_info", "vllm:num_requests_running", "vllm:num_requests_running"]


@pytest.mark.parametrize(
    "line",
    [
        "<html>",
        "gateway_requests_total 1",
        'gateway_requests_total{model="b"} 1',
        'x{model="b"} 1',
        'x{a="1",model="b"} 1',
        'x{a="1} 1',
        "x one",
        "x",
        "x 1 2 3",
        "x 1\r",
        '{a="1"} 1',
        "# EOF",
        "# TYPE gateway_waiting counter",
    ],
)
def test_what_is_no_metric_of_the_engine_is_left_out(line: str) -> None:
    expected = merged(OWN, {"a": "up 1"})
    assert expected == f'{OWN}up{{model="a"}} 1\n'
    assert merged(OWN, {"a": f"{line}\nup 1"}).replace("# TYPE gateway_waiting counter\n", "") == expected


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ('x{a="b\\"c,model=\\"d\\""} 1', 'x{model="a",a="b\\"c,model=\\"d\\""} 1'),
        ("x{} NaN", 'x{model="a"} NaN'),
        ("x +Inf", 'x{model="a"} +Inf'),
        ('x{a="1",} 1e-05', 'x{model="a",a="1"} 1e-05'),
        ("x 1 1700000000000", 'x{model="a"} 1'),
        ('x{model_name="b"} 1', 'x{model="a",model_name="b"} 1'),
    ],
)
def test_what_is_one_is_kept_as_it_was_written(line: str, sample: str) -> None:
    assert merged("", {"a": line}) == f"{sample}\n"


@pytest.mark.parametrize("line", ['x{a="' + "\\" * 99, "x{" + 'a="1",' * 30, "# HELP " + "x" * 90, "#" * 100])
def test_a_page_of_any_kind_is_read_in_linear_time(line: str) -> None:
    def seconds(pages: int) -> float:
        page = f"{line}\n" * (pages * PAGE_BYTES // 8 // len(line))
        began = time.process_time()
        merged("", {"a": page})
        return time.process_time() - began

    seconds(1)
    assert seconds(8) < 16 * seconds(1) + 0.02


async def test_metrics_have_the_figures_of_every_engine_that_answers(tmp_path: Path) -> None:
    silent, loud = FakeEngine(name="silent"), FakeEngine(name="loud")
    silent.metrics_text = None
    loud.metrics_text = "x 1\n" * (PAGE_BYTES // 4 + 1)
    engines = (FakeEngine(name="a", steps=5), FakeEngine(name="b", steps=6), silent, loud)
    async with staged(tmp_path, *engines) as stage, stage.session.get("/metrics") as answer:
        page = await answer.text()
    found = samples(page)
    assert found["vllm:iteration_tokens_total_count", "a"] == 5
    assert found["vllm:iteration_tokens_total_count", "b"] == 6
    scraped = {model: value for (name, model), value in found.items() if name == "gateway_engine_scraped"}
    assert scraped == {"a": 1, "b": 1, "silent": 0, "loud": 0}
    assert ("x", "loud") not in found
