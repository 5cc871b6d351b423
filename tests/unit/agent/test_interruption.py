"""A deployment killed at any moment leaves models that answer, and the same command finishes the job."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from agent.lock import BEFORE
from tests.support.local_deployment import PROCESSES, LocalDeployment, local_deployment
from tests.support.share import eventually


class Moments:
    """What can be seen of a deployment's progress from outside, against how things stood before it."""

    def __init__(self, host: LocalDeployment) -> None:
        self.host = host
        self.releases = set(host.releases())
        self.current, self.confirmed = host.link("current"), host.link("confirmed")
        self.record = host.record("alpha")
        self.log = (host.root / "logs" / "gateway.log").stat().st_size

    def lock_taken(self) -> bool:
        return '"fab build-and-deploy"' in (self.host.root / "state" / "deploy.lock").read_text()

    def draft_begun(self) -> bool:
        return set(self.host.releases()) != self.releases

    def draft_unpacked(self) -> bool:
        return any((self.host.root / "releases").glob(".*.new/release.json")) or self.release_finished()

    def release_finished(self) -> bool:
        return any(not name.startswith(".") for name in set(self.host.releases()) - self.releases)

    def current_switched(self) -> bool:
        return self.host.link("current") != self.current

    def gateway_reloaded(self) -> bool:
        with (self.host.root / "logs" / "gateway.log").open("rb") as log:
            log.seek(self.log)
            return b"gateway.reloaded" in log.read()

    def engine_ended(self) -> bool:
        return self.host.record("alpha") != self.record

    def engine_started_again(self) -> bool:
        return self.host.record("alpha").get("pid") not in (None, self.record["pid"])

    def engine_accepts(self) -> bool:
        return self.engine_started_again() and (self.host.root / "run" / "alpha.sock").exists()

    def confirmed_switched(self) -> bool:
        return self.host.link("confirmed") != self.confirmed


MOMENTS: tuple[Callable[[Moments], bool], ...] = (
    Moments.lock_taken,
    Moments.draft_begun,
    Moments.draft_unpacked,
    Moments.release_finished,
    Moments.current_switched,
    Moments.gateway_reloaded,
    Moments.engine_ended,
    Moments.engine_started_again,
    Moments.engine_accepts,
    Moments.confirmed_switched,
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    with local_deployment(tmp_path_factory.mktemp("d")) as deployed:
        deployed.deploy()
        yield deployed


def killed(host: LocalDeployment, *words: str, at: Callable[[], bool]) -> None:
    """Run a task and kill it, as the kernel would for memory, the moment something is true."""
    process = host.popen(*words)
    deadline = time.monotonic() + 60
    while not at():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.0005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


def no_more_than_serves(host: LocalDeployment) -> bool:
    return len(host.processes()) == PROCESSES


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_a_deployment_killed_half_way_is_harmless_and_the_next_one_completes_it(
    host: LocalDeployment, moment: Callable[[Moments], bool]
) -> None:
    alias = moment.__name__
    host.models["alpha"]["engine"]["max_num_seqs"] = MOMENTS.index(moment) + 1
    host.models["beta"]["aliases"] = [alias]
    host.write()
    (host.root / "state" / "deploy.lock").write_text("")
    before, moments = host.pids(), Moments(host)
    killed(host, "build-and-deploy", at=lambda: moment(moments))

    eventually(host.answers, "every model answers without anybody's help")
    eventually(lambda: no_more_than_serves(host), "what the deployment ran ends with it")
    host.succeed("build-and-deploy")
    assert host.answers()
    assert host.ask(alias) == (200, "beta beta beta ")
    assert host.link("confirmed") == host.link("current") != moments.confirmed
    description = json.loads((host.root / "current" / "release.json").read_text())
    assert host.record("alpha")["unit_digest"] == description["units"]["alpha"]
    assert host.pids() | {"alpha": None} == before | {"alpha": None}
    assert no_more_than_serves(host)
    assert [name for name in host.releases() if name.startswith(".")] == []
    assert [path.name for path in host.root.iterdir() if path.name.startswith(".")] == [BEFORE]
    assert "Nothing to do" in host.succeed("build-and-deploy").stderr


def test_a_killed_restart_leaves_an_engine_that_answers(host: LocalDeployment) -> None:
    before = host.record("gamma")["pid"]
    killed(host, "restart", "gamma", at=lambda: host.record("gamma").get("pid") != before)
    eventually(host.answers, "it comes back by itself")
    assert host.record("gamma")["pid"] != before


def test_an_interrupt_from_the_keyboard_is_not_a_failure_of_what_serves(host: LocalDeployment) -> None:
    moments = Moments(host)
    # An engine that starts again: a change of the gateway alone would be over before the signal comes.
    host.models["alpha"]["engine"]["max_num_seqs"] = len(MOMENTS) + 1
    host.models["beta"]["aliases"] = ["interrupted"]
    host.write()
    process = host.popen("build-and-deploy")
    eventually(moments.current_switched, "it is half-way")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted. Models keep serving" in said
    assert "Traceback" not in said
    eventually(host.answers, "what serves goes on serving")
    host.succeed("build-and-deploy")
    assert host.ask("interrupted")[0] == 200
