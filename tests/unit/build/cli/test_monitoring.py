"""`fab monitoring`, judged by those who read its files: promtool, and Prometheus itself asking a real gateway."""

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from build.cli.hosts import Selection
from build.cli.monitoring import monitoring
from build.errors import DeployError
from deployment.errors import ConfigError
from tests.support.fakes.engine import FakeEngine
from tests.support.ssh_inventory import host_entry, inventory, write
from tests.support.web import free_port
from tests.unit.gateway.test_stage import staged

REPOSITORY = Path(__file__).parents[4]
VLLM_METRICS = REPOSITORY / "tests" / "support" / "data" / "vllm-0.32-metrics.txt"
"""The names that a real engine of vLLM 0.32 says; tests/integration/engine/test_metrics.py compares."""


def run(*words: str, cwd: Path) -> str:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The production models, behind a gateway that all networks reach."""
    for name in ("models.yaml", "models.lock.json"):
        text = (REPOSITORY / name).read_text()
        (tmp_path / name).write_text(text.replace("[127.0.0.1:8080, 127.0.0.1:8082]", "[127.0.0.1:8082, 0.0.0.0:8080]"))
    return tmp_path / "models.yaml"


def written(tmp_path: Path, models: Path, **hosts: dict[str, Any]) -> Path:
    out = tmp_path / "monitoring"
    file = write(tmp_path / "hosts.json", inventory(**hosts))
    with Selection(inventory=str(file)).hosts() as chosen:
        monitoring(chosen, str(models), str(out))
    return out


def test_the_configuration_names_each_host_where_others_reach_it(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {"gateway_keys": "/etc/axion/keys", "gateway_clients": ["10.0.0.0/24"]}
    own = {
        "kind": "ssh",
        "name": "own",
        "ssh_user": "root",
        "ssh_address": "models.example",
        "data_mount": "/opt/axion",
    }
    own["known_hosts"] = str(tmp_path / "known_hosts")
    out = written(tmp_path, models, main=host_entry(**keys), own=own)
    config = yaml.safe_load((out / "prometheus.yml").read_text())
    assert [(job["static_configs"], job.get("authorization")) for job in config["scrape_configs"]] == [
        (
            [{"targets": ["10.20.0.2:8080"], "labels": {"stack": "dev", "host": "axion-dev-main"}}],
            {"credentials_file": "gateway-key"},
        ),
        ([{"targets": ["models.example:8080"], "labels": {"stack": "dev", "host": "own"}}], None),
    ]
    (out / "gateway-key").write_text("x")
    run("promtool", "check", "config", "prometheus.yml", cwd=out)
    said = capsys.readouterr().out
    assert "axion-dev-main: 10.20.0.2:8080: asks for a key. Write one of yours into" in said


def test_a_gateway_that_speaks_tls_is_asked_with_it(tmp_path: Path, models: Path) -> None:
    tls = "gateway:\n  tls: {certificate: /etc/tls/a.pem, key: /etc/tls/a.key}\n"
    models.write_text(models.read_text().replace("gateway:\n", tls, 1))
    out = written(tmp_path, models, main=host_entry())
    (job,) = yaml.safe_load((out / "prometheus.yml").read_text())["scrape_configs"]
    assert (job["scheme"], job["static_configs"][0]["targets"]) == ("https", ["10.20.0.2:8080"])
    run("promtool", "check", "config", "prometheus.yml", cwd=out)


def test_a_gateway_for_its_own_host_is_asked_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = written(tmp_path, REPOSITORY / "models.yaml", main=host_entry(gateway_keys="/etc/axion/keys"))
    (job,) = yaml.safe_load((out / "prometheus.yml").read_text())["scrape_configs"]
    assert (job["static_configs"][0]["targets"], "authorization" in job) == (["127.0.0.1:8080"], False)
    assert "axion-dev-main: 127.0.0.1:8080: for programs on that host only." in capsys.readouterr().out


def test_where_the_files_cannot_be_written_is_a_sentence(tmp_path: Path, models: Path) -> None:
    (tmp_path / "monitoring").write_text("a file")
    with pytest.raises(DeployError) as refused:
        written(tmp_path, models, main=host_entry())
    assert str(refused.value) == (
        f"--out: {tmp_path}/monitoring: cannot be written: File exists. Name a directory that you may write."
    )


def test_the_mistakes_of_all_hosts_files_are_told(tmp_path: Path) -> None:
    own = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.yaml"
        file.write_text("models: {}\n")
        own.append(host_entry(name=name, models=str(file)))
    file = write(tmp_path / "hosts.json", inventory(one=own[0], two=own[1]))
    with Selection(inventory=str(file)).hosts() as chosen, pytest.raises(ConfigError) as caught:
        monitoring(chosen, None, str(tmp_path / "out"))
    assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
        *("one.yaml:1", "one.yaml:1"),
        *("two.yaml:1", "two.yaml:1"),
    ]


HOST = 'stack="own",host="main"'
MODEL = f'{HOST},model="a"'
FIRST_TOKEN = "vllm:time_to_first_token_seconds_bucket"
QUEUE = "vllm:request_queue_time_seconds_bucket"
CERTIFICATE = "gateway_certificate_expiry_timestamp_seconds"
# Series a minute apart: those that call somebody, and those that look like it and must not.
ALERTS: Mapping[str, tuple[dict[str, str], dict[str, str]]] = {
    "AxionHostDown": (
        {f'up{{job="axion-main",{HOST}}}': "1 0x20"},
        {f'up{{job="axion-main",{HOST}}}': "1 0 1x20", f'up{{job="others",{HOST}}}': "0x20"},
    ),
    "AxionModelNotReady": (
        {f'gateway_upstream_state{{state="ready",{MODEL}}}': "1 0x20"},
        {
            f'gateway_upstream_state{{state="ready",{MODEL}}}': "0x12 1x10",
            f'gateway_upstream_state{{state="loading",{MODEL}}}': "0x20",
            f'gateway_upstream_state{{state="ready",{HOST},model="on_demand"}}': "0x20",
            f'gateway_upstream_state{{state="stopped",{HOST},model="on_demand"}}': "1x20",
        },
    ),
    "AxionEngineStalled": (
        {
            f"vllm:num_requests_running{{{MODEL}}}": "1x20",
            f"vllm:num_requests_waiting{{{MODEL}}}": "0x20",
            f"vllm:iteration_tokens_total_count{{{MODEL}}}": "7x20",
        },
        {
            f"vllm:num_requests_running{{{MODEL}}}": "1x20",
            f"vllm:num_requests_waiting{{{MODEL}}}": "3x20",
            f"vllm:iteration_tokens_total_count{{{MODEL}}}": "7+1x20",
        },
    ),
    "AxionServerErrors": (
        {
            f'gateway_requests_total{{status_class="5xx",{MODEL}}}': "0+6x20",
            f'gateway_requests_total{{status_class="2xx",{MODEL}}}': "0+94x20",
        },
        {
            f'gateway_requests_total{{status_class="5xx",{MODEL}}}': "0+4x20",
            f'gateway_requests_total{{status_class="4xx",{MODEL}}}': "0+96x20",
        },
    ),
    "AxionStreamsBreak": (
        {f"gateway_stream_interrupted_total{{{MODEL}}}": "0+1x20"},
        {f"gateway_stream_interrupted_total{{{MODEL}}}": "0x10 1x10"},
    ),
    "AxionFirstTokenSlow": (
        {
            f'{FIRST_TOKEN}{{le="30",{MODEL}}}': "0+9x20",
            f'{FIRST_TOKEN}{{le="60",{MODEL}}}': "0+10x20",
            f'{FIRST_TOKEN}{{le="+Inf",{MODEL}}}': "0+10x20",
        },
        {
            f'{FIRST_TOKEN}{{le="30",{MODEL}}}': "0+96x20",
            f'{FIRST_TOKEN}{{le="60",{MODEL}}}': "0+100x20",
            f'{FIRST_TOKEN}{{le="+Inf",{MODEL}}}': "0+100x20",
        },
    ),
    "AxionQueueLong": (
        {
            f'{QUEUE}{{le="10",{MODEL}}}': "0+9x20",
            f'{QUEUE}{{le="20",{MODEL}}}': "0+10x20",
            f'{QUEUE}{{le="+Inf",{MODEL}}}': "0+10x20",
        },
        {
            f'{QUEUE}{{le="10",{MODEL}}}': "0+96x20",
            f'{QUEUE}{{le="20",{MODEL}}}': "0+100x20",
            f'{QUEUE}{{le="+Inf",{MODEL}}}': "0+100x20",
        },
    ),
    "AxionCacheFull": (
        {f"vllm:kv_cache_usage_perc{{{MODEL}}}": "0.99x20", f"vllm:num_preemptions_total{{{MODEL}}}": "0+1x20"},
        {f"vllm:kv_cache_usage_perc{{{MODEL}}}": "0.99x20", f"vllm:num_preemptions_total{{{MODEL}}}": "5x20"},
    ),
    "AxionEngineSilent": (
        {f"gateway_engine_scraped{{{MODEL}}}": "0x20", f'gateway_upstream_state{{state="ready",{MODEL}}}': "1x20"},
        {
            f"gateway_engine_scraped{{{MODEL}}}": "0x20",
            f'gateway_upstream_state{{state="ready",{MODEL}}}': "0x9 1 0x10",
        },
    ),
    # Days from the beginning of 1970, where promtool's time begins.
    "AxionCertificateEnds": (
        {f"{CERTIFICATE}{{{HOST}}}": f"{13.9 * 86400}x20"},
        {f"{CERTIFICATE}{{{HOST}}}": f"{14.2 * 86400}x20"},
    ),
}


def firing(name: str, series: Mapping[str, str], *, count: int) -> dict[str, Any]:
    expr = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
    return {
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": "20m", "exp_samples": [{"labels": "{}", "value": count}]}],
    }


@pytest.fixture
def out(tmp_path: Path, models: Path) -> Path:
    return written(tmp_path, models, main=host_entry())


def test_every_alert_fires_when_it_should_and_not_when_it_only_looks_like_it(out: Path) -> None:
    assert set(re.findall(r"alert: (\w+)", (out / "alerts.yml").read_text())) == set(ALERTS)
    cases = [firing(name, calls, count=1) for name, (calls, _) in ALERTS.items()]
    cases += [firing(name, quiet, count=0) for name, (_, quiet) in ALERTS.items()]
    (out / "test.yml").write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "tests": cases}))
    run("promtool", "test", "rules", "test.yml", cwd=out)


def test_an_alert_says_what_is_wrong_where_and_what_to_do(out: Path) -> None:
    calls, _ = ALERTS["AxionModelNotReady"]
    case = firing("AxionModelNotReady", calls, count=1)
    case["alert_rule_test"] = [
        {
            "alertname": "AxionModelNotReady",
            "eval_time": "20m",
            "exp_alerts": [
                {
                    "exp_labels": {"stack": "own", "host": "main", "model": "a", "state": "ready", "severity": "page"},
                    "exp_annotations": {
                        "summary": "a on main has not been ready for 15 minutes.",
                        "description": "Longer than the largest model loads. Run `fab logs a`.",
                    },
                }
            ],
        }
    ]
    (out / "test.yml").write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "tests": [case]}))
    run("promtool", "test", "rules", "test.yml", cwd=out)


def dashboard_expressions(out: Path) -> list[str]:
    """Each panel's expression with values where Grafana puts them."""
    dashboard = json.loads((out / "dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [each.replace("$__rate_interval", "1m").replace("$host", ".+").replace("$model", ".+") for each in found]


def test_prometheus_understands_every_panel_of_the_dashboard(out: Path) -> None:
    rules = [{"record": f"panel_{number}", "expr": each} for number, each in enumerate(dashboard_expressions(out))]
    (out / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert "12 rules found" in run("promtool", "check", "rules", "panels.yml", cwd=out)


async def test_what_alerts_and_panels_ask_for_is_said_by_the_gateway_or_by_vllm(out: Path, tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage, stage.session.get("/metrics") as answer:
        page = await answer.text()
    said = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    # Counted once it happened, or where TLS is spoken, and then by these names.
    said |= {"gateway_requests_total", "gateway_stream_interrupted_total", CERTIFICATE}
    said |= set(VLLM_METRICS.read_text().split())
    texts = [(out / "alerts.yml").read_text(), *dashboard_expressions(out)]
    asked = {name for text in texts for name in re.findall(r"\b(?:vllm:|gateway_)\w+", text)}
    assert len(asked) > 12
    assert asked <= said


def prometheus_says(port: int, query: str) -> dict[str, float]:
    """Ask a Prometheus; empty while it has nothing."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = json.load(answer)["data"]["result"]
    return {each["metric"].get("model", each["metric"].get("host", "")): float(each["value"][1]) for each in found}


async def test_prometheus_itself_reads_a_real_gateway_with_these_files(tmp_path: Path, models: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a", steps=5), FakeEngine(name="b", is_healthy=False)) as stage:
        text = models.read_text().replace("[127.0.0.1:8082, 0.0.0.0:8080]", f"[127.0.0.1:{stage.port}]")
        models.write_text(text)
        out = written(tmp_path, models, main=host_entry())
        file = out / "prometheus.yml"
        file.write_text(file.read_text().replace("scrape_interval: 15s", "scrape_interval: 1s"))
        port = free_port()
        server = await asyncio.create_subprocess_exec(
            *("prometheus", f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'data'}"),
            f"--web.listen-address=127.0.0.1:{port}",
            stderr=(tmp_path / "prometheus.log").open("wb"),
        )
        try:
            found: dict[str, dict[str, float]] = {}
            until = time.monotonic() + 30
            while not (found and all(found.values())) and time.monotonic() < until:
                await asyncio.sleep(0.2)
                try:
                    for name, query in (
                        ("up", 'up{job=~"axion-.+"}'),
                        ("steps", "vllm:iteration_tokens_total_count"),
                        ("ready", 'gateway_upstream_state{state="ready",stack="dev"}'),
                    ):
                        found[name] = await asyncio.to_thread(prometheus_says, port, query)
                except OSError:  # it is starting
                    continue
        finally:
            server.terminate()
            await asyncio.wait_for(server.wait(), 20)
    assert found["up"] == {"axion-dev-main": 1}, (tmp_path / "prometheus.log").read_text()
    assert found["steps"]["a"] == 5
    assert found["ready"] == {"a": 1, "b": 0}


def test_a_command_line_writes_them_for_this_computer(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fabric", "monitoring", "--models", str(REPOSITORY / "models.yaml")]
    done = subprocess.run(
        [str(REPOSITORY / ".venv" / "bin" / "fab"), *words[3:], "--out", str(tmp_path / "o")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, sorted(each.name for each in (tmp_path / "o").iterdir())) == (
        0,
        ["alerts.yml", "dashboard.json", "prometheus.yml"],
    ), done.stderr
