"""A systemd host with real vLLM: what stand-in engines cannot show. `make test-hosts`."""

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.arm.host import REPOSITORY
from tests.support.deployments import demonstration_checkpoints
from tests.support.host_deployment import HostDeployment
from tests.support.machines.machine import Machine, booted
from tests.support.ran import Ran
from tests.support.share import eventually, stretched
from tests.support.web import free_port

pytestmark = pytest.mark.hosts

DEMO = REPOSITORY / "examples" / "demo" / "models.yaml"
CHECKPOINTS = REPOSITORY / "out" / "demo" / "models"
ON_HOST = "/srv/models"
REAL, TINY = "smollm2", "tiny_qwen2"
BUILD_S, LOAD_S = 900.0, 300.0
WATCHDOG_S = 30
"""A step of these models takes milliseconds, an import beside another engine's up to ten seconds."""


class VllmHost(HostDeployment):
    """Two models of the demonstration; the deployment itself installs vLLM on the host."""

    def __init__(self, machine: Machine, base: Path) -> None:
        super().__init__(machine, base, names=())
        shown = yaml.safe_load(DEMO.read_text())
        self.rest = {"host": shown["host"]}
        for name in (REAL, TINY):
            given: dict[str, Any] = shown["models"][name]
            weights = {"path": f"{ON_HOST}/{Path(given['weights']['path']).name}"}
            self.models[name] = {**given, "weights": weights, "watchdog_s": WATCHDOG_S}
        self.facts = demonstration_checkpoints()

    def deploy_within(self, timeout_s: float) -> Ran:
        self.write()
        ran = self.fab("build-and-deploy", timeout_s=timeout_s)
        assert ran.status == 0, ran.said
        return ran

    def answer(self, name: str, question: str) -> str:
        body = {"model": name, "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 16}
        status, answer = self.call("POST", "/v1/chat/completions", body, timeout_s=60)
        assert status == 200, answer
        return str(answer["choices"][0]["message"]["content"])

    def seconds_between(self, name: str, begin: str, end: str) -> float:
        """How long one thing came after another in the life of an engine's unit, by systemd's own clock."""
        unit = f"vllm@{name}.service"
        stamps = (f"{which}TimestampMonotonic" for which in (begin, end))
        shown = (self.machine.output("systemctl", "show", f"--property={stamp}", "--value", unit) for stamp in stamps)
        began, ended = (int(text) / 1e6 for text in shown)
        return ended - began


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmHost]:
    if not CHECKPOINTS.is_dir():
        pytest.fail("no models: run `fab demo.prepare` first")
    with booted(Machine("vllm", port=free_port(), binds={CHECKPOINTS: ON_HOST})) as machine:
        host = VllmHost(machine, tmp_path_factory.mktemp("d"))
        # As Google's images are: what the environment is made with is not there, and the deployment brings it.
        assert machine.run("python3", "-c", "import ensurepip").returncode == 1
        assert machine.run("sh", "-c", "ls /usr/lib/*/libnuma.so.1").returncode == 2
        first = host.deploy_within(BUILD_S)
        assert re.search(r"Install .*\blibnuma1\b.*\bpython3(\.\d+)?-venv\b", first.said), first.said
        yield host


def show(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}")


def test_a_fresh_host_gets_vllm_and_answers_under_systemd(host: VllmHost) -> None:
    assert "Paris" in host.answer(REAL, "What is the capital of France?")
    assert host.answer(TINY, "?")
    assert host.serves_current()
    # What is proven of our kernels is not asked for on x86-64.
    assert {one["verdict"] for one in host.json("verify") if "not asked for" not in one["finding"]} == {"pass"}
    owners = host.machine.output("ps", "-eww", "-o", "user,args")
    assert {line.split()[0] for line in owners.splitlines() if "vllm" in line and "/opt/axion/" in line} == {"axion"}


def test_the_same_file_again_changes_nothing_within_five_seconds(
    host: VllmHost, capsys: pytest.CaptureFixture[str]
) -> None:
    before, bound_s = host.invocations(), stretched(5)
    ran = host.deploy()
    show(capsys, f"no change: {ran.took_s:.1f} s")
    assert "Nothing to do: " in ran.said
    assert ran.took_s < max(bound_s, stretched(5))
    assert host.invocations() == before


def test_a_changed_model_is_healthy_five_seconds_after_its_engine_could_be_and_no_other_restarts(
    host: VllmHost, capsys: pytest.CaptureFixture[str]
) -> None:
    before = host.invocations()
    host.models[TINY]["engine"]["max_num_seqs"] = 7
    bound_s = stretched(5)
    ran = host.deploy_within(LOAD_S)
    end_s = host.seconds_between(TINY, "ActiveExit", "ExecMainStart")
    load_s = host.seconds_between(TINY, "ExecMainStart", "ActiveEnter")
    show(
        capsys,
        f"one model changed: {ran.took_s:.1f} s; its old engine took {end_s:.1f} s to end, its new {load_s:.1f} s",
    )
    after = host.invocations()
    assert {name for name in after if after[name] != before[name]} == {TINY}
    assert ran.took_s < end_s + load_s + max(bound_s, stretched(5))
    assert host.serves_current()


def test_a_tokenizer_that_vllm_cannot_read_brings_the_previous_release_back(
    host: VllmHost, capsys: pytest.CaptureFixture[str]
) -> None:
    first, before = host.link("current"), host.invocations()
    torn = host.machine.root / "srv" / "torn"
    shutil.copytree(CHECKPOINTS / Path(host.models[TINY]["weights"]["path"]).name, torn)
    (torn / "tokenizer.json").write_text("{")
    kept = host.models[TINY]["weights"]
    host.models[TINY]["weights"] = {"path": "/srv/torn"}
    host.write()
    ran = host.fab("build-and-deploy", timeout_s=LOAD_S)
    host.models[TINY]["weights"] = kept
    show(capsys, re.sub(r"^    .*\n", "", ran.stderr, flags=re.MULTILINE))
    assert ran.status == 1
    assert f"{TINY}: does not answer" in ran.stderr
    assert "JSONDecodeError: Expecting property name" in ran.stderr, ran.stderr
    assert f"{first} serves again" in ran.stderr
    assert host.link("current") == host.link("confirmed") == first
    assert host.answer(TINY, "?")
    after = host.invocations()
    assert {name for name in after if after[name] != before[name]} == {TINY}


def test_an_engine_that_hangs_answers_again_by_itself(host: VllmHost, capsys: pytest.CaptureFixture[str]) -> None:
    before = host.invocations()
    (core,) = (each for each in host.of_unit(f"vllm@{TINY}.service") if each.command.startswith("VLLM::EngineCor"))
    os.kill(core.pid, signal.SIGSTOP)
    began = time.monotonic()
    # Nobody asks it anything meanwhile: it is found out all the same.
    eventually(lambda: host.invocations()[TINY] != before[TINY], "it is restarted", 120)
    restarted_s = time.monotonic() - began
    eventually(lambda: host.ask(TINY, timeout_s=60)[0] == 200, "it answers again", LOAD_S)
    show(capsys, f"SIGSTOP: started again after {restarted_s:.1f} s, answers after {time.monotonic() - began:.1f} s")
    assert restarted_s < 2 * WATCHDOG_S + 15
    assert {name for name, seen in host.invocations().items() if seen != before[name]} == {TINY}


def test_systemd_rates_the_exposure_of_both_services_at_two_at_most(
    host: VllmHost, capsys: pytest.CaptureFixture[str]
) -> None:
    for unit in (f"vllm@{REAL}.service", "gateway.service"):
        rating = host.machine.output("systemd-analyze", "security", "--no-pager", unit).splitlines()[-1]
        show(capsys, f"{unit}: {rating}")
        found = re.search(r": ([0-9.]+) ", rating)
        assert found
        assert float(found[1]) <= 2.0
