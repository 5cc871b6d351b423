"""Processes that are killed come back, by themselves or by the next deployment, and leave no orphan."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.local_deployment import PROCESSES, LocalDeployment, local_deployment
from tests.support.processes import tree
from tests.support.share import eventually


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    with local_deployment(tmp_path_factory.mktemp("d")) as deployed:
        deployed.deploy()
        yield deployed


def engine(host: LocalDeployment, name: str) -> dict[str, int]:
    """One engine's processes by what they are, launchers included."""
    record = host.record(name)
    guard, keeper, *vllm = tree(record["pid"])
    assert keeper.pid == record["session"]
    assert len(vllm) == 3
    pids = (guard.pid, keeper.pid, *(process.pid for process in vllm))
    return dict(zip(("guard", "keeper", "api", "core", "worker"), pids, strict=True))


@pytest.mark.parametrize(("name", "victim"), [("alpha", "api"), ("beta", "guard"), ("gamma", "keeper")])
def test_an_engine_comes_back_whole_whichever_of_its_processes_is_killed(
    host: LocalDeployment, name: str, victim: str
) -> None:
    before, others = engine(host, name), {other: host.pids()[other] for other in host.pids() if other != name}
    os.kill(before[victim], signal.SIGKILL)
    eventually(lambda: host.record(name).get("pid") not in (None, before["guard"]), "its runner starts it again")
    eventually(host.answers, "it answers")
    eventually(lambda: len(host.processes()) == PROCESSES, "nothing is left of the one before")
    assert set(engine(host, name).values()).isdisjoint(before.values())
    assert {other: pid for other, pid in host.pids().items() if other != name} == others
    assert "Nothing to do" in host.succeed("build-and-deploy").stderr


def test_the_gateway_comes_back_by_itself(host: LocalDeployment) -> None:
    before = host.pids()
    assert before["gateway"] is not None
    os.kill(before["gateway"], signal.SIGKILL)
    eventually(host.answers, "it answers")
    assert host.pids() | {"gateway": None} == before | {"gateway": None}


def test_after_a_killed_runner_nothing_is_left_and_the_next_deployment_starts_it(host: LocalDeployment) -> None:
    release, before = host.link("current"), host.pids()
    assert before["supervisord"] is not None
    os.kill(before["supervisord"], signal.SIGKILL)
    # At once: while the processes of the old runner are still ending.
    host.succeed("build-and-deploy")
    assert host.answers()
    assert host.link("current") == release
    assert not set(before.values()) & set(host.pids().values())
    eventually(lambda: len(host.processes()) == PROCESSES, "nothing is left of the ones before")
    assert "Nothing to do" in host.succeed("build-and-deploy").stderr
