"""How a host gets packages through apt: after others, after a power cut, and not at all."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.protocol import OffersAnswer
from build.deploy import packages
from build.deploy.packages import finish_command, install_command, install_packages, offers_command, refuse_lacking
from build.errors import DeployError
from build.progress import Reporter
from build.remote.agent import carrying
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, OnLine
from build.remote.host import Host
from build.remote.target import Target
from tests.support.hosts import system
from tests.unit.build.deploy.test_packages import DEBIAN, FRESH, UBUNTU, asked, host_system


class Apt(LocalExecutor):
    """A host of which apt is asked; what it installs is there afterwards."""

    def __init__(self, *, locked: int = 0, said: str = "", status: int = 100, offered: Any = DEBIAN) -> None:
        self.ran: list[str] = []
        self.locked, self.said, self.status, self.offered = locked, said, status, offered

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        self.ran.append(str(command))
        if command.what == "read the distribution's package lists":
            if self.said:
                return Result(status=self.status, stdout="", stderr=self.said)
            if self.locked:
                self.locked -= 1
                held = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 312 (apt-get)\n"
                return Result(status=100, stdout="", stderr=held)
        return Result(
            status=0, stdout=OffersAnswer(self.offered).to_json() if "offers" in command.what else "", stderr=""
        )


def on(apt: Apt, root: Path) -> Host:
    return Host(target(root), apt, Reporter())


def target(root: Path) -> Target:
    return Target(name="main", root=str(root), runner="supervisor", python=sys.executable)


def test_packages_are_installed_after_what_a_power_cut_left_and_after_other_readers_of_the_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "LISTS_RETRY_S", 0.0)
    apt = Apt(locked=2)
    install_packages(on(apt, tmp_path), asked("wheel"), host_system(FRESH))
    update = "env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update"
    assert apt.ran[:3] == [update] * 3
    assert apt.ran[4:] == [
        "agent dpkg",
        "env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "
        "libnuma1 python3.12-dev python3.12-venv g++-12",
    ]


def test_packages_that_do_not_bring_what_they_should_are_named(tmp_path: Path) -> None:
    host = on(Apt(), tmp_path)
    refuse_lacking(host, asked("wheel"), host_system())
    with pytest.raises(DeployError) as caught:
        refuse_lacking(host, asked("wheel"), host_system(system(without=["ensurepip"])))
    assert str(caught.value) == (
        "main: the packages are installed and do not bring all of it: venv. "
        "Look there with `apt-cache policy python3.12-venv`, and install what brings it."
    )


@pytest.mark.parametrize(
    ("status", "offered", "said"),
    [
        (100, {}, "E: Failed to fetch http://ports.example/noble/InRelease"),
        # Without a way out apt only warns, and says that all went well.
        (0, {}, "W: Failed to fetch http://ports.example/noble/InRelease  Could not resolve 'ports.example'"),
    ],
)
def test_a_distribution_that_cannot_be_reached_is_told_and_nothing_is_installed(
    tmp_path: Path, status: int, offered: dict[str, str], said: str
) -> None:
    apt = Apt(said=f"{said}\nW: Some index files failed to download.\n", status=status, offered=offered)
    with pytest.raises(DeployError) as caught:
        install_packages(on(apt, tmp_path), asked("wheel"), host_system(FRESH))
    assert str(caught.value) == (
        f"main: the distribution's package lists cannot be read: {said}. Let the host reach its package mirror, or "
        "install what is missing there by hand."
    )
    assert len(apt.ran) == 2


def test_a_host_that_lacks_nothing_is_not_refused_for_a_package_source_that_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apt = Apt(said="E: The repository 'https://tools.example noble InRelease' is not signed.\n")
    install_packages(on(apt, tmp_path), asked("wheel"), host_system(compilers={"g++": "12.2.0"}))
    assert len(apt.ran) == 2
    assert "No newer compiler was looked for, g++ 12.2.0 is used: E: The repository" in capsys.readouterr().err


def test_a_warning_of_apt_keeps_nobody_from_a_newer_compiler(tmp_path: Path) -> None:
    said = "W: Target Packages (main/binary-arm64/Packages) is configured multiple times\n"
    apt = Apt(said=said, status=0, offered=UBUNTU)
    install_packages(on(apt, tmp_path), asked("wheel"), host_system(compilers={"g++": "12.2.0"}))
    assert apt.ran[-1].endswith(" g++-14")


def test_dpkg_waits_for_who_installs_at_first_boot(tmp_path: Path) -> None:
    program, count = tmp_path / "dpkg", tmp_path / "count"
    held = "dpkg: error: dpkg frontend lock was locked by another process with pid 312"
    program.write_text(
        f"#!/bin/sh\necho x >> {count}\n[ $(wc -l < {count}) -ge 3 ] || {{ echo '{held}' >&2; exit 2; }}\n"
    )
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = carrying(finish_command(target(tmp_path)))
    for bound_s, expected in (("0", (2, held)), ("30", (0, ""))):
        argv = (*command.argv, bound_s, "0.01")
        done = subprocess.run(argv, input=command.stdin, env=environment, capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stderr.decode().strip()) == expected


def test_packages_that_apt_names_by_guessing_are_not_offers(tmp_path: Path) -> None:
    # To apt an unknown name is a regular expression, and "g++-13" is found within "clang-13".
    listed = "".join(f"{name}:\n  Installed: (none)\n  Candidate: 1:16.0.6-15\n" for name in ("g++-12", "clang-16"))
    program = tmp_path / "apt-cache"
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{listed}E\n")
    program.chmod(0o755)
    command = carrying(offers_command(target(tmp_path)))
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command.argv, input=command.stdin, env=environment, capture_output=True, check=True)
    assert OffersAnswer.from_json(done.stdout).versions == {"g++-12": "1:16.0.6-15"}


def test_no_command_of_apt_asks_a_person_anything() -> None:
    assert re.search("noninteractive.*--yes", str(install_command(("a",))))
