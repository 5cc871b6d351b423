"""What a real distribution brings under which name, and what is found of it there. `make test-hosts`."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol import System
from build.deploy.facts import Facts, probe_command
from build.deploy.packages import install_command, update_command
from build.engine.needs import EVERYTHING
from build.remote.target import Target
from tests.support.agent import agent_file
from tests.support.arm.host import run
from tests.support.arm.root import SUITE, sources
from tests.support.machines.root import OUTPUT, refuse_without_root

pytestmark = pytest.mark.hosts

DEBIAN_13 = "trixie"


@pytest.fixture(scope="module")
def debian_13() -> Iterator[Path]:
    """The files of a Debian in which packages have their names of after the 64-bit time_t."""
    refuse_without_root()
    root = OUTPUT / "debian-13"
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    lines = tuple(line.replace(f" {SUITE} ", f" {DEBIAN_13} ") for line in sources())
    options = ("--mode=root", "--variant=apt", "--include=python3,ca-certificates")
    run("mmdebstrap", *options, DEBIAN_13, root, *lines, what="bootstrap a Debian 13", timeout_s=1800)
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    yield root
    shutil.rmtree(root)


def inside(root: Path, *argv: str) -> str:
    done = subprocess.run(
        ("chroot", root, *argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def look(root: Path) -> System:
    target = Target(name="debian-13", root="/opt/axion", runner="supervisor", python="python3")
    *_, verb, order = probe_command(target, {}, ()).argv
    return Facts.from_json(inside(root, "python3", "-I", f"/{agent_file(root).name}", verb, order)).system


def test_every_package_brings_on_debian_13_what_it_is_installed_for(debian_13: Path) -> None:
    before = look(debian_13)
    assert before.distribution == "Debian GNU/Linux 13 (trixie)"
    assert (before.found, before.compilers) == ((), {})
    packages = [*(need.package for need in EVERYTHING), "g++-14"]
    inside(debian_13, *update_command().argv)
    inside(debian_13, *install_command(packages).argv)
    after = look(debian_13)
    assert set(after.found) == {need.name for need in EVERYTHING}
    assert after.compilers["g++-14"].startswith("14.")
    # The name that was asked for does not count as installed there: its successor only provides it.
    state = ("dpkg-query", "--show", "--showformat=${Status}", "libtcmalloc-minimal4")
    assert "not-installed" in inside(debian_13, *state)
