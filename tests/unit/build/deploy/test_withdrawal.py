"""A release that does not answer is withdrawn, and what served before serves again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local_deployment import LocalDeployment, local_deployment
from tests.support.share import eventually


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    with local_deployment(tmp_path_factory.mktemp("d")) as deployed:
        deployed.deploy()
        yield deployed


def withdrawn(host: LocalDeployment, *words: str) -> str:
    """Deploy what cannot serve; return the message once everything is as it was before."""
    release = host.link("current")
    before = host.pids()
    host.write()
    said = host.refuse("build-and-deploy", *words)
    assert f"was withdrawn; {release} serves again." in said
    assert (host.link("current"), host.link("confirmed")) == (release, release)
    assert host.answers()
    assert {name for name, pid in host.pids().items() if pid != before[name]} == {"beta"}
    assert [row["up_to_date"] for row in host.json("status")["models"]] == [True, True, True]
    return said


def test_an_engine_that_ends_while_it_starts_is_named_with_its_last_words(host: LocalDeployment) -> None:
    host.checkpoint("broken", exit=3, says="ValueError: no kernel for this group size")
    host.models["beta"]["weights"]["path"] = "checkpoints/broken"
    said = withdrawn(host)
    assert "beta: does not answer, got: the engine " in said
    assert "ValueError: no kernel for this group size" in said
    assert "alpha: does not answer" not in said


def test_an_engine_that_answers_with_an_error_is_not_taken_for_a_model(host: LocalDeployment) -> None:
    host.checkpoint("confused", error="CUDA error: out of Arm")
    host.models["beta"]["weights"]["path"] = "checkpoints/confused"
    said = withdrawn(host)
    assert "beta: does not answer, got: it answers a prompt with 500:" in said
    assert "CUDA error: out of Arm" in said


def test_an_engine_that_answers_nothing_is_not_taken_for_a_model(host: LocalDeployment) -> None:
    host.checkpoint("half", token="")
    host.models["beta"]["weights"]["path"] = "checkpoints/half"
    said = withdrawn(host)
    assert (
        "beta: does not answer, got: nothing that can be read in 3 tokens, only '': the checkpoint is not whole" in said
    )
    assert "`fab models-pull --verify`" in said


def test_an_engine_that_never_gets_ready_is_waited_for_as_long_as_was_said(host: LocalDeployment) -> None:
    host.checkpoint("slow", load_s=60.0)
    host.models["beta"]["weights"]["path"] = "checkpoints/slow"
    said = withdrawn(host, "--timeout-s", "6")
    assert "beta: does not answer, got: still loading after 6 s" in said


def test_a_first_deployment_that_fails_says_so_in_seconds_and_the_next_one_serves(tmp_path: Path) -> None:
    with local_deployment(tmp_path) as host:
        # Engines that end before they leave a trace: only the process runner knows that they were ever there.
        (program,) = host.root.glob("builds/*/venv/bin/vllm")
        program.rename(program.with_name("lost"))
        host.write()
        said = host.refuse("build-and-deploy")
        assert "does not answer, got: the engine kept ending while starting" in said
        assert "incomplete release, no " in said
        assert "There is no earlier release to return to." in said
        assert host.link("confirmed") is None
        assert {row["process"] for row in host.json("status")["models"]} <= {"given up", "restarting", "running"}
        # For a moment each start looks like a process that runs.
        eventually(lambda: host.fab("doctor").status == 1, "the doctor sees that they keep ending", 60)
        program.with_name("lost").rename(program)
        host.deploy()
        assert host.answers()
        assert host.link("confirmed") == host.link("current")


def test_a_rollback_does_not_choose_a_release_that_never_answered(tmp_path: Path) -> None:
    with local_deployment(tmp_path) as host:
        host.deploy()
        good = host.link("current")
        host.checkpoint("confused", error="no")
        host.models["gamma"]["weights"]["path"] = "checkpoints/confused"
        host.write()
        host.refuse("build-and-deploy")
        host.models["gamma"]["weights"]["path"] = "checkpoints/gamma"
        host.models["gamma"]["aliases"] = ["third"]
        host.deploy()
        assert len(host.releases()) == 3
        host.succeed("rollback")
        assert host.link("current") == good
