"""The tasks of every day, against a deployment of stand-in engines."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local_deployment import LocalDeployment, local_deployment


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    with local_deployment(tmp_path_factory.mktemp("d")) as deployed:
        deployed.deploy()
        yield deployed


def test_verify_finds_nothing_wrong_with_what_was_just_deployed(host: LocalDeployment) -> None:
    checks = {each["check"]: each["verdict"] for each in host.json("verify")}
    assert checks == {"files": "pass", "environment": "pass", "processes": "pass", "answers": "pass"}


def test_verify_notices_an_environment_that_lost_its_kernels(host: LocalDeployment) -> None:
    (torch,) = host.root.glob("builds/*/venv/lib/*/site-packages/torch/__init__.py")
    whole = torch.read_text()
    torch.write_text(whole.replace("rms_norm", "rms_nrom"))
    ran = host.fab("verify", "--json")
    torch.write_text(whole)
    assert ran.status == 1
    findings = {each["check"]: each["finding"] for each in json.loads(ran.stdout) if each["verdict"] == "fail"}
    assert list(findings) == ["environment"]
    assert "proofs.kernels.operators: _C::rms_norm missing" in findings["environment"]


def test_doctor_judges_this_computer(host: LocalDeployment) -> None:
    checks = {each["check"]: each for each in host.json("doctor")}
    assert checks["process runner"] == {"check": "process runner", "verdict": "pass", "finding": "4 processes"}


def test_logs_shows_the_end_of_the_log_that_was_named(host: LocalDeployment) -> None:
    printed = host.succeed("logs", "alpha").stdout
    assert "stand-in: loading alpha from " in printed
    assert "beta" not in printed
    assert len(host.succeed("logs", "gateway", "--lines", "2").stdout.splitlines()) == 2
    said = host.refuse("logs", "nope")
    assert said == "logs: no log of that name, got nope. Use one of: alpha, beta, gamma, gateway, supervisord.\n"
    assert host.refuse("logs", "../../../../etc/passwd").startswith("logs: no log of that name, got ../../")


def test_a_model_can_be_restarted_again_and_again_and_no_other_notices(host: LocalDeployment) -> None:
    # More often than supervisord takes for failed starts, and within the two minutes in which it does.
    before = host.pids()
    seen = [before["beta"]]
    for _ in range(4):
        assert "beta answers after" in host.succeed("restart", "beta").stderr
        assert host.ask("beta")[0] == 200
        seen.append(host.pids()["beta"])
    assert len(set(seen)) == 5
    assert host.pids() | {"beta": None} == before | {"beta": None}


def test_the_gateway_can_be_restarted_alone(host: LocalDeployment) -> None:
    before = host.pids()
    host.succeed("restart", "gateway")
    assert host.answers()
    assert host.pids() | {"gateway": None} == before | {"gateway": None}
    assert host.pids()["gateway"] != before["gateway"]


def test_restarting_what_is_not_deployed_is_refused(host: LocalDeployment) -> None:
    before = host.pids()
    said = host.refuse("restart", "nope")
    assert said == "restart: not deployed, got nope. Use one of: alpha, beta, gamma, gateway.\n"
    assert host.pids() == before


def test_rollback_returns_to_the_release_before_or_to_the_one_named(host: LocalDeployment) -> None:
    first, before = host.link("current"), host.pids()
    host.models["gamma"]["aliases"] = ["third"]
    host.deploy()
    second = host.link("current")
    assert host.ask("third")[0] == 200
    assert f"{first} serves again" in host.succeed("rollback").stderr
    assert (host.link("current"), host.link("confirmed")) == (first, first)
    assert host.ask("third")[0] == 404
    host.succeed("rollback", "--release", str(second))
    assert host.link("confirmed") == second
    assert host.ask("third")[0] == 200
    assert host.pids() == before
    said = host.refuse("rollback", "--release", "nope")
    assert said == f"nope: no such release on this computer, got {first}, {second}. Name one of them.\n"
    assert host.link("current") == second


def test_without_a_deployment_the_tasks_say_so(tmp_path: Path) -> None:
    with local_deployment(tmp_path) as host:
        for words in (("status",), ("restart", "alpha")):
            said = host.refuse(*words)
            assert said == "this computer: nothing is deployed. Run `fab build-and-deploy`.\n"
        assert "rollback: no earlier release on this computer" in host.refuse("rollback")
        assert host.json("releases") == []
        assert "Nothing runs." in host.succeed("stop").stderr


def test_stop_leaves_no_process_and_the_next_deployment_starts_them_again(host: LocalDeployment) -> None:
    host.succeed("stop")
    assert host.processes() == []
    assert "Nothing runs." in host.succeed("stop").stderr
    release = host.link("current")
    host.deploy()
    assert host.link("current") == release
    assert host.answers()
