"""What real vLLM says of itself, through the gateway's one page of metrics."""

import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.exposition import merged
from tests.support.live_deployment import REAL, TINY, LiveDeployment

pytestmark = pytest.mark.engine

NAMES = Path(__file__).parents[2] / "support" / "data" / "vllm-0.32-metrics.txt"
STALL_S = 0.05


def test_both_engines_say_what_alerts_and_dashboard_ask_for(live: LiveDeployment) -> None:
    with live.openai() as client:
        for name in (REAL, TINY):
            client.completions.create(model=name, prompt="a", max_tokens=2)
    page = httpx.get(f"{live.url}/metrics", timeout=10).text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    for name in (REAL, TINY):
        said = {sample.name for sample in samples if sample.labels.get("model") == name}
        assert set(NAMES.read_text().split()) <= said
        tokens = [each for each in samples if each.name == "vllm:generation_tokens_total"]
        assert {each.labels["model"]: each.value >= 2 for each in tokens} == {REAL: True, TINY: True}


def test_real_pages_are_merged_without_holding_up_streams(live: LiveDeployment) -> None:
    page = httpx.get(f"{live.url}/metrics", timeout=10).text
    engines = "\n".join(line.replace('model="', 'of="') for line in page.splitlines() if "gateway_" not in line)
    began = time.process_time()
    merged("", {"a": engines, "b": engines})
    spent_s = time.process_time() - began
    print(f"{len(engines)} bytes twice: {spent_s * 1000:.1f} ms")
    assert spent_s < STALL_S
