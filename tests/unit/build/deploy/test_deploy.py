"""Deploying to this computer, from nothing and from one release to the next, with stand-in engines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkpoints import names, safetensors
from tests.support.local_deployment import LocalDeployment, local_deployment
from tests.support.steady_clients import SteadyClients


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    with local_deployment(tmp_path_factory.mktemp("d")) as host:
        host.deploy()
        yield host


@pytest.fixture
def host(deployed: LocalDeployment) -> LocalDeployment:
    """Three models that answer; what another test left is made good again."""
    for name in ("alpha", "beta", "gamma"):
        deployed.add(name)
    for name in deployed.models.keys() - {"alpha", "beta", "gamma"}:
        del deployed.models[name]
    deployed.deploy()
    return deployed


def changed_pids(before: dict[str, int | None], after: dict[str, int | None]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_a_first_deployment_serves_every_model_and_the_tasks_agree_on_it(tmp_path: Path) -> None:
    with local_deployment(tmp_path) as host:
        host.write()
        planned = host.json("plan")
        assert (planned["changes"], planned["gateway"], planned["is_build"]) == (True, "start", False)
        assert planned["start"] == ["alpha", "beta", "gamma"]
        assert not (host.root / "releases").exists()
        ran = host.succeed("build-and-deploy")
        assert "serves alpha, beta, gamma at" in ran.stderr
        assert host.answers()
        name = host.link("current")
        assert host.link("confirmed") == name
        assert host.json("releases") == [{"release": name, "current": True, "confirmed": True}]
        status = host.json("status")
        assert (status["release"], status["confirmed"]) == (name, name)
        assert [(row["model"], row["state"], row["up_to_date"]) for row in status["models"]] == [
            ("alpha", "ready", True),
            ("beta", "ready", True),
            ("gamma", "ready", True),
        ]
        assert {row["model"]: row["pid"] for row in status["models"]}.items() <= host.pids().items()


def test_a_second_deployment_does_nothing_and_says_so_at_once(host: LocalDeployment) -> None:
    before = host.pids(), host.files(), host.link("current")
    again = host.succeed("build-and-deploy")
    assert "Nothing to do" in again.stderr
    planned = host.fab("plan")
    assert "Nothing to do" in planned.stdout
    assert host.json("plan")["changes"] is False
    assert (host.pids(), host.files(), host.link("current")) == before
    assert again.took_s < 5
    assert planned.took_s < 5


def test_a_changed_argument_restarts_its_engine_alone_while_the_others_answer(host: LocalDeployment) -> None:
    before = host.pids()
    host.models["alpha"]["engine"]["max_num_seqs"] = 5
    host.write()
    assert host.json("plan")["restart"] == ["alpha"]
    with SteadyClients(host.port, ("beta", "gamma"), tokens=3, pause_s=0.05) as clients:
        host.succeed("build-and-deploy")
    assert clients.whole > 20
    assert clients.failures == []
    assert changed_pids(before, host.pids()) == {"alpha"}
    assert host.answers()
    assert host.record("alpha")["release"].endswith(str(host.link("current")))


def test_models_come_and_go_without_a_restart_of_the_others(host: LocalDeployment) -> None:
    before = host.pids()
    host.add("delta")
    with SteadyClients(host.port, ("alpha", "beta", "gamma"), tokens=3, pause_s=0.05) as clients:
        host.deploy()
        assert host.answers()
        assert changed_pids(before, host.pids()) == {"delta"}
        del host.models["delta"]
        host.deploy()
    assert clients.failures == []
    assert changed_pids(before, host.pids()) == set()
    assert host.ask("delta")[0] == 404
    assert [process.command for process in host.processes() if "delta" in process.command] == []
    assert not (host.root / "run" / "delta.sock").exists()


def test_an_alias_reaches_the_gateway_by_a_reload(host: LocalDeployment) -> None:
    before = host.pids()
    assert host.ask("fast")[0] == 404
    host.models["beta"]["aliases"] = ["fast"]
    host.write()
    planned = host.json("plan")
    assert (planned["gateway"], planned["restart"], list(planned["files"])) == ("reload", [], ["gateway.json"])
    host.succeed("build-and-deploy")
    assert host.ask("fast") == (200, "beta beta beta ")
    assert host.pids() == before


def test_other_weights_in_the_same_place_restart_their_engine(host: LocalDeployment) -> None:
    before = host.pids()
    (host.checkpoint("gamma") / "model.safetensors").write_bytes(safetensors(names(), size=5000))
    host.deploy()
    assert changed_pids(before, host.pids()) == {"gamma"}
    assert host.answers()


def test_a_file_edited_by_hand_is_noticed_and_made_right(host: LocalDeployment) -> None:
    before, first = host.pids(), host.link("current")
    edited = host.root / "current" / "engines" / "beta.yaml"
    rendered = edited.read_text()
    edited.write_text(rendered + "max-num-seqs: 1\n")
    verified = host.fab("verify")
    assert verified.status == 1
    assert "engines/beta.yaml: not as rendered" in verified.stdout
    host.deploy()
    assert host.link("current") != first
    assert edited.read_text() == rendered
    assert host.succeed("verify").status == 0
    # It may have been started from the edited file, and nobody can tell.
    assert changed_pids(before, host.pids()) == {"beta"}
    assert host.answers()
