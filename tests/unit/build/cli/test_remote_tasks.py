"""The tasks, on a host behind a real sshd."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.deploy.deploy import run_build_and_deploy
from build.progress import Reporter
from build.remote.host import Host
from build.remote.ssh.connection import connect
from build.remote.ssh.executor import SshExecutor
from build.remote.target import local_target
from tests.support.host_directory import host_directory
from tests.support.local_deployment import FAB, local_deployment
from tests.support.ssh_inventory import direct, inventory, write
from tests.support.ssh_server import SshServer, ssh_server

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def place() -> Iterator[Path]:
    with host_directory() as made:
        yield made


def fab(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a task; none may ever show a traceback."""
    drop = ("AXION_", "COLUMNS", "FORCE_COLOR", "TTY_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(drop)} | environment
    ran = subprocess.run(
        [str(FAB), *words], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=90, check=False
    )
    assert "Traceback" not in ran.stdout + ran.stderr, ran.stderr
    return ran


def test_a_written_host_needs_a_user(tmp_path: Path, server: SshServer) -> None:
    file = write(tmp_path / "i.json", inventory(main=direct(server, Path("/opt/axion"), ssh_user=None)))
    ran = fab("status", "--inventory", str(file))
    assert (ran.returncode, ran.stderr) == (
        1,
        f"{file} hosts.main.ssh_user: not text, got null. Give the user to log in as.\n",
    )


def test_the_tasks_look_at_a_host_over_ssh(tmp_path: Path, place: Path, server: SshServer) -> None:
    file = str(write(tmp_path / "i.json", inventory(main=direct(server, place / "root"))))
    ran = fab("status", "--inventory", file)
    assert (ran.returncode, ran.stderr) == (
        1, "main: nothing is deployed. Run `fab build-and-deploy`.\n"
    )  # fmt: skip
    assert json.loads(fab("releases", "--inventory", file, "--json").stdout) == []
    checks = [each["check"] for each in json.loads(fab("doctor", "--inventory", file, "--json").stdout)]
    assert "main: machine" in checks
    several = write(tmp_path / "two.json", inventory(
        b=direct(server, place / "b", "b"), a=direct(server, place / "a", "a"),
    ))  # fmt: skip
    assert fab("releases", "--inventory", str(several), "--json").stdout == '{\n "b": [],\n "a": []\n}\n'
    assert fab("logs", "gateway", "--inventory", str(several)).stderr == (
        "logs: of one host at a time, got b, a. Add --host NAME.\n"
    )


def test_a_plan_for_a_host_counts_paths_there(tmp_path: Path, place: Path, server: SshServer) -> None:
    with local_deployment(tmp_path) as here:
        here.write()
        root = place / "host"
        file = str(write(tmp_path / "i.json", inventory(main=direct(server, root))))
        words = ("plan", "--inventory", file, "--models", str(here.file))
        ran = fab(*words)
        assert ran.returncode == 1
        assert (
            f'models.alpha.weights.path: no such directory on main, got "{root}/models/checkpoints/alpha". '
            "A path counts on main, a relative one from its directory of models: copy the checkpoint there.\n"
        ) in ran.stderr
        (root / "models").mkdir(parents=True)
        (root / "models" / "checkpoints").symlink_to(tmp_path / "checkpoints")
        again = fab(*words)
    # What else keeps this computer from being such a host is no matter here.
    assert "weights.path" not in again.stdout + again.stderr


def test_a_deployment_over_ssh_and_one_more_without_a_change_in_under_five_seconds(
    tmp_path: Path, server: SshServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runner is this computer's; the connection, and all that goes over it, is real."""
    with local_deployment(tmp_path) as deployed:
        deployed.write()
        executor = SshExecutor(lambda: connect(server.route()), python=sys.executable)
        run_build_and_deploy(Host(local_target(deployed.root), executor, Reporter()), deployed.file, 60)
        executor.close()
        assert deployed.answers()
        before, accepted = deployed.files(), server.log.count("Accepted publickey for")
        capsys.readouterr()
        began = time.monotonic()
        executor = SshExecutor(lambda: connect(server.route()), python=sys.executable)
        run_build_and_deploy(Host(local_target(deployed.root), executor, Reporter()), deployed.file, 60)
        executor.close()
        took_s = time.monotonic() - began
        assert capsys.readouterr().err.startswith("Nothing to do: ")
        assert deployed.files() == before
    assert server.log.count("Accepted publickey for") - accepted == 1
    assert took_s < 5
