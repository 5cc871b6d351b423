"""Models on demand on this computer: from models.yaml to a process that the first request starts."""

import json
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from agent.probe import memory_bytes
from deployment.models.load import load_deployment
from deployment.models.memory import estimate_memory
from tests.support.local_deployment import LocalDeployment, local_deployment
from tests.support.share import eventually


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    """alpha always runs; beta and gamma are on demand, and there is memory for one of them."""
    with local_deployment(tmp_path_factory.mktemp("d")) as local:
        for name in ("beta", "gamma"):
            local.checkpoint(name, load_s=0.5)
            local.models[name] |= {"on_demand": True, "idle_stop_s": 3600.0}
        local.fab = partial(local.fab, timeout_s=300)  # type: ignore[method-assign] # models are loaded one by one
        yield local


def memory_for(host: LocalDeployment, models: float) -> None:
    """Reserve so much of this machine's memory that alpha and so many models of one size fit into the rest."""
    host.write()
    each = estimate_memory(load_deployment(host.file).models["beta"]).total
    reserved = memory_bytes() - each - int(models * each)
    host.rest["host"] = {**host.document()["host"], "reserved_memory": f"{reserved}B"}


def states(host: LocalDeployment) -> dict[str, str]:
    return {name: each["state"] for name, each in host.call("GET", "/stats")[1]["models"].items()}


def loaded(host: LocalDeployment) -> set[str]:
    """Models with an engine, by their launchers' records."""
    return {name for name in host.models if host.record(name)}


def test_a_deployment_says_what_it_will_do_and_leaves_models_on_demand_alone(host: LocalDeployment) -> None:
    memory_for(host, 1.5)
    host.write()
    said = host.succeed("plan").stdout
    assert "on demand, in " in said
    assert "not all fit at once, so they take turns" in said
    assert "start alpha\n" in said
    assert "start beta" not in said
    assert "load beta, which is on demand, once, to see that it answers\n" in said
    ran = host.deploy()
    assert "answered" in ran.said
    assert "alpha" in loaded(host)
    assert len(loaded(host)) == 2  # the last of the two that were proven
    assert host.link("confirmed") == host.link("current")


def test_the_same_file_again_is_nothing_to_do_whatever_is_loaded(host: LocalDeployment) -> None:
    assert "Nothing to do: " in host.deploy().said
    assert host.call("POST", "/unload", {})[0] == 200
    eventually(lambda: loaded(host) == {"alpha"}, "both are unloaded")
    assert "Nothing to do: " in host.deploy().said
    assert loaded(host) == {"alpha"}


def test_a_model_that_sleeps_is_no_trouble_to_anybody(host: LocalDeployment) -> None:
    rows = {row["model"]: row for row in host.json("status")["models"]}
    assert (rows["beta"]["state"], rows["beta"]["process"], rows["beta"]["up_to_date"]) == ("stopped", "stopped", True)
    assert host.call("GET", "/readyz")[0] == 200
    checks = {row["check"]: row for row in host.json("verify")}
    assert (checks["on demand"]["verdict"], checks["processes"]["verdict"]) == ("skip", "pass")
    assert "beta, gamma: on demand and not loaded, so not asked" in checks["on demand"]["finding"]
    assert checks["answers"]["finding"] == "1 models answer a prompt"
    assert next(row for row in host.json("doctor") if row["check"] == "process runner")["verdict"] == "pass"


def test_the_first_request_starts_a_process_and_the_next_model_takes_its_place(host: LocalDeployment) -> None:
    assert host.ask("beta", timeout_s=60) == (200, "beta beta beta ")
    assert loaded(host) == {"alpha", "beta"}
    assert host.ask("gamma", timeout_s=60) == (200, "gamma gamma gamma ")
    assert loaded(host) == {"alpha", "gamma"}
    assert states(host) == {"alpha": "ready", "beta": "stopped", "gamma": "ready"}
    memory = host.call("GET", "/stats")[1]["on_demand"]
    assert 0 < memory["loaded_bytes"] <= memory["budget_bytes"]


def test_no_request_is_lost_while_two_models_take_turns(host: LocalDeployment) -> None:
    answers: list[tuple[str, int]] = []

    def ask_again_and_again(name: str) -> None:
        answers.extend((name, host.ask(name, timeout_s=90)[0]) for _ in range(6))

    askers = [threading.Thread(target=ask_again_and_again, args=(name,)) for name in ("beta", "gamma", "beta", "gamma")]
    for each in askers:
        each.start()
    while any(each.is_alive() for each in askers):
        assert len(loaded(host)) <= 2, "memory over budget"
        time.sleep(0.02)
    assert len(answers) == 24
    assert {status for _, status in answers} == {200}


def test_a_gateway_that_was_killed_finds_what_runs(host: LocalDeployment) -> None:
    assert host.ask("beta", timeout_s=60)[0] == 200
    before, first = host.record("beta")["pid"], host.pids()["gateway"]
    host.succeed("restart", "gateway")
    assert host.pids()["gateway"] != first
    assert host.ask("beta", timeout_s=60)[0] == 200
    assert host.record("beta")["pid"] == before
    assert host.ask("gamma", timeout_s=60)[0] == 200
    assert loaded(host) == {"alpha", "gamma"}


def test_a_changed_model_on_demand_is_proven_and_the_others_go_on(host: LocalDeployment) -> None:
    alpha, gateway = host.record("alpha")["pid"], host.pids()["gateway"]
    host.models["gamma"]["engine"]["max_num_seqs"] = 5
    host.write()
    said = host.succeed("plan").stdout
    assert "unload gamma, which is on demand\n" in said
    assert "load gamma, which is on demand, once" in said
    assert "load beta" not in said
    host.deploy()
    assert host.record("alpha")["pid"] == alpha
    assert host.pids()["gateway"] == gateway
    assert (
        host.record("gamma")["unit_digest"]
        == json.loads((host.root / "current/release.json").read_text())["units"]["gamma"]
    )


def test_restarting_one_by_hand_keeps_to_the_budget(host: LocalDeployment) -> None:
    assert host.ask("beta", timeout_s=60)[0] == 200
    host.succeed("restart", "gamma")
    assert loaded(host) == {"alpha", "gamma"}


def test_a_model_on_demand_that_cannot_be_loaded_withdraws_its_release(host: LocalDeployment) -> None:
    first = host.link("confirmed")
    kept = host.models["gamma"]["weights"]
    host.checkpoint("broken", exit=3, says="stand-in: the weights are torn")
    host.models["gamma"]["weights"] = {"path": "checkpoints/broken"}
    host.write()
    said = host.refuse("build-and-deploy")
    assert "gamma: does not answer, got: the engine ended while it was loading" in said
    assert "the weights are torn" in said
    assert host.link("current") == first
    host.models["gamma"]["weights"] = kept
    host.write()
    eventually(lambda: host.ask("gamma", timeout_s=90)[0] == 200, "it is tried again", bound_s=90)


def test_a_model_that_always_runs_from_now_on_gets_its_memory_first(host: LocalDeployment) -> None:
    assert host.ask("gamma", timeout_s=60)[0] == 200
    memory_for(host, 2)
    del host.models["beta"]["on_demand"], host.models["beta"]["idle_stop_s"]
    host.deploy()
    assert {"alpha", "beta"} <= loaded(host)
    assert host.ask("gamma", timeout_s=60)[0] == 200
    assert "Nothing to do: " in host.deploy().said


def test_stopping_leaves_nothing(host: LocalDeployment) -> None:
    host.succeed("stop")
    assert host.processes() == []
