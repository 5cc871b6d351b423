"""Changing one of two live models: the other one goes on serving in the same processes, without a failed request."""

import time

import pytest

from tests.support.live_deployment import REAL, TINY, LiveDeployment, SteadyClient

pytestmark = pytest.mark.engine


def pids(live: LiveDeployment, name: str) -> set[int]:
    return {process.pid for process in live.processes_of(name)}


def length_of(live: LiveDeployment, name: str) -> object:
    with live.openai() as client:
        return (client.models.retrieve(name).model_extra or {})["max_model_len"]


def assert_answers(live: LiveDeployment, name: str) -> None:
    with live.openai() as client:
        assert client.completions.create(model=name, prompt="a", max_tokens=1).choices[0].text is not None


def test_a_second_deployment_of_the_same_file_does_nothing_and_says_so(live: LiveDeployment) -> None:
    before = pids(live, REAL) | pids(live, TINY)
    began = time.monotonic()
    said = live.deploy()
    assert time.monotonic() - began < 5
    assert said.startswith("Nothing to do: ")
    assert pids(live, REAL) | pids(live, TINY) == before


def test_a_restart_of_one_model_leaves_the_other_serving(live: LiveDeployment) -> None:
    real, tiny, gateway = pids(live, REAL), pids(live, TINY), live.stats()["pid"]
    with SteadyClient(live, REAL) as other:
        live.fab("restart", TINY)
        assert_answers(live, TINY)
    assert other.failures == []
    assert other.whole >= 10
    assert pids(live, REAL) == real
    assert not pids(live, TINY) & tiny
    assert live.stats()["pid"] == gateway


def test_a_changed_engine_argument_restarts_that_engine_only_and_can_be_rolled_back(live: LiveDeployment) -> None:
    real, tiny, gateway = pids(live, REAL), pids(live, TINY), live.stats()["pid"]
    live.write_models(max_model_len=512)
    with SteadyClient(live, REAL) as other:
        live.deploy()
        changed = pids(live, TINY)
        assert length_of(live, TINY) == 512
        assert_answers(live, TINY)
        live.fab("rollback")
        assert length_of(live, TINY) == 1024
        assert_answers(live, TINY)
    assert other.failures == []
    assert other.whole >= 20
    assert pids(live, REAL) == real
    assert not changed & tiny
    assert not pids(live, TINY) & (changed | tiny)
    assert live.stats()["pid"] == gateway
    live.write_models()
    assert live.deploy().startswith("Nothing to do: "), "the release that was rolled back to is the first one"
