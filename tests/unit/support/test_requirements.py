"""What `make test` brings before it begins, and what it says when it may not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.requirements import apt, needs, runs
from tests.support.requirements.runs import RUNS, Computer, Run, obstacles, prepare
from tests.support.requirements.tools import GCLOUD, PULUMI, Tool, ToolError

REPOSITORY = Path(__file__).parents[3]
ROOT = apt.Rights(has_apt=True, is_root=True, may_sudo=False)
APT = "env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=300 -qq"
FRESH = Computer(
    system="Linux",
    machine="x86_64",
    uid=0,
    free_bytes=64 * 2**30,
    has_overlays=True,
    has_debian=True,
    has_environment=False,
)


def test_it_runs_before_there_is_any_environment() -> None:
    """-S: no site-packages, as with a Python that was just installed."""
    command = [sys.executable, "-S", "-m", "tests.support.requirements", "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_things_are_asked_for_not_packages() -> None:
    there = {"sshd", "libnuma.so.1", "ensurepip", "ssh", "curl", "mkfs.ext4", "blkid", "cmp"}
    absent = needs.missing(RUNS["test"].needs, lambda need: need.name in there)
    headers, *names = (need.name for need in absent)
    assert Path(headers).name == "Python.h"
    assert names == [
        *("ssh-keygen", "systemd-analyze", "shellcheck", "aarch64-linux-gnu-g++-12", "chromium", "promtool"),
    ]
    python = f"python3.{sys.version_info.minor}-dev"
    arm = "g++-12-aarch64-linux-gnu"
    assert needs.packages(absent) == (
        *("chromium", arm, "openssh-client", "prometheus", python, "shellcheck", "systemd"),
    )


@pytest.mark.parametrize(
    ("need", "is_there"),
    [
        (needs.Need("program", "python3", "python3"), True),
        (needs.Need("program", "no-such-program", "none"), False),
        (needs.Need("library", "libc.so.6", "libc6"), True),
        (needs.Need("library", "libnosuch.so.1", "none"), False),
        (needs.Need("module", "ensurepip", "python3-venv"), True),
        (needs.Need("module", "no_such_module", "none"), False),
        (needs.Need("file", "/usr", "base-files"), True),
        (needs.Need("file", "/usr/src/nosuch", "none"), False),
    ],
    ids=lambda value: f"{value.kind}-{value.name}" if isinstance(value, needs.Need) else "",
)
def test_each_kind_is_looked_for_where_it_is_used(need: needs.Need, is_there: bool) -> None:
    assert needs.is_there(need) is is_there


@pytest.mark.parametrize(
    ("rights", "says"),
    [
        (ROOT, None),
        (apt.Rights(has_apt=True, is_root=False, may_sudo=True), None),
        (
            apt.Rights(has_apt=True, is_root=False, may_sudo=False),
            "packages: some are missing, and no right to install openssh-server, systemd. "
            "Run: sudo apt-get install openssh-server systemd",
        ),
        (
            apt.Rights(has_apt=False, is_root=True, may_sudo=False),
            "packages: some are missing, and this is not Debian or Ubuntu: none of openssh-server, systemd. "
            "Install what your system calls them.",
        ),
    ],
)
def test_who_may_not_install_gets_one_line_with_all_of_them(rights: apt.Rights, says: str | None) -> None:
    assert apt.refusal(("openssh-server", "systemd"), rights) == says


def test_packages_are_installed_in_one_go() -> None:
    commands = apt.install_commands(("shellcheck", "systemd"), is_under_systemd=True)
    assert [" ".join(command) for command in commands] == [
        f"{APT} update",
        f"{APT} install --yes --no-install-recommends shellcheck systemd",
    ]


def test_a_computer_without_sshd_does_not_get_one_that_answers() -> None:
    commands = apt.install_commands(("openssh-server",), is_under_systemd=True)
    assert [" ".join(command) for command in commands] == [
        "systemctl --runtime mask ssh.service ssh.socket",
        f"{APT} update",
        f"{APT} install --yes --no-install-recommends openssh-server",
        "systemctl --runtime unmask ssh.service ssh.socket",
        "systemctl disable ssh.service ssh.socket",
    ]


def test_everything_in_the_way_of_a_rehearsal_is_said_at_once() -> None:
    poor = Computer(
        system="Darwin",
        machine="arm64",
        uid=501,
        free_bytes=3 * 2**30,
        has_overlays=False,
        has_debian=False,
        has_environment=False,
    )
    assert [line.partition(f" for {REPOSITORY}")[0] for line in obstacles([RUNS["rehearsal"]], poor)] == [
        "machine: Linux on x86-64 is needed, got Darwin on arm64. Use another one.",
        "user: hosts, networks and disks are made by root, got uid 501. Run it by sudo.",
        "kernel: no overlay file system, got a kernel without it. Run `modprobe overlay`.",
        "apt: no source of Debian bookworm is configured, got none. Run this on Debian 12.",
        "disk: 17 GiB are needed",
    ]


@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_in_the_way_on_a_fresh_machine(name: str) -> None:
    assert list(obstacles([RUNS[name]], FRESH)) == []


def refuse(tool: Tool) -> None:
    raise ToolError(f"{tool.name}: not found.")


def test_a_missing_tool_stops_a_rehearsal_and_only_leaves_tests_out() -> None:
    assert runs.missing_tools([RUNS["rehearsal"]], refuse) == (["pulumi: not found.", "gcloud: not found."], [])
    assert runs.missing_tools([RUNS["test"]], refuse) == ([], ["pulumi: not found.", "gcloud: not found."])
    assert runs.missing_tools([RUNS["test"], RUNS["rehearsal"]], lambda tool: tool) == ([], [])


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that alone is on PATH, of a user who may install: root, or one with sudo."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "env").symlink_to("/usr/bin/env")
    script(folder / "sudo", 'shift; exec "$@"')
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(apt, "UNDER_SYSTEMD", tmp_path / "none")
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


FROB = Run(needs=needs.programs({"frob": "frobnicate", "grob": "frobnicate"}))


def test_what_is_missing_is_brought_and_what_is_there_is_left_alone(bare: Path, tmp_path: Path) -> None:
    brought = f"cd {bare}; /bin/cp sudo frob; /bin/cp sudo grob"
    script(bare / "apt-get", f'[ "$1" = indextargets ] && exit; echo "${{@: -1}}" >> {tmp_path}/asked; {brought}')
    assert prepare([FROB]) == []
    assert prepare([FROB]) == []
    assert (tmp_path / "asked").read_text().splitlines() == ["update", "frobnicate"]


def test_a_package_that_does_not_bring_it_is_said(bare: Path) -> None:
    script(bare / "apt-get", f"cd {bare}; /bin/cp sudo frob")
    assert prepare([FROB]) == [
        "frobnicate: installed, and there is no grob, got none. Install what brings it.",
    ]


def test_what_apt_says_is_passed_on(bare: Path) -> None:
    for said in ("E: no network", "E: no network."):
        script(bare / "apt-get", f"echo '{said}' >&2; exit 100")
        assert prepare([FROB]) == [f"packages: {APT} update failed: exit 100: E: no network. Run it by hand."]


def test_one_line_names_all_where_nothing_may_be_installed(bare: Path) -> None:
    """No apt-get: whoever this is, the run ends before it did anything."""
    command = [sys.executable, "-m", "tests.support.requirements", "kernels"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("packages: some are missing, and this is not Debian or Ubuntu: none of clang-19, cmake, ")
    assert bare.is_dir()


def test_both_tools_have_a_pin_and_a_variable() -> None:
    assert [(tool.name, tool.variable) for tool in (PULUMI, GCLOUD)] == [
        ("pulumi", "AXION_PULUMI_ARCHIVE"),
        ("gcloud", "AXION_GCLOUD_ARCHIVE"),
    ]


def test_the_operators_environment_is_made_where_nothing_of_an_engines_is(tmp_path: Path) -> None:
    """Who only works with hosts elsewhere needs no libnuma: here it is missing, and there is no right to bring it."""
    tools, venv = tmp_path / "bin", tmp_path / "venv"
    tools.mkdir()
    python = f"""#!/bin/bash
case "$*" in
    *libnuma*) exit 1 ;;
    *"-m venv"*) mkdir -p {venv}/bin && ln -s /bin/true {venv}/bin/python ;;
    *) exec {sys.executable} "$@" ;;
esac
"""
    for name, text in {"python3": python, "sudo": "#!/bin/sh\nexit 1\n", "apt-get": "#!/bin/sh\nexit 1\n"}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path)}
    command = ("bash", REPOSITORY / "build" / "setup.sh", venv)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Making the operator's environment" in done.stdout
    for run in ("demo", "test", "rehearsal"):
        assert "libnuma1" in needs.packages(RUNS[run].needs)
    assert "libnuma1" not in needs.packages(RUNS["rehearsal-cloud"].needs)
