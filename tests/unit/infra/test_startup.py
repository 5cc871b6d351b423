"""The startup script, run for real: bash, curl, blkid, and mkfs on a file; only mount and systemd are stood in for."""

import ast
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployment.render.files import render_template
from infra.startup import SCRIPTS, UNITS, StartupValues, startup_script
from tests.support.fakes.metadata import MetadataServer, metadata_server

REPOSITORY = Path(__file__).parents[3]
GOLDEN = REPOSITORY / "tests" / "golden" / "host"
MIB = 2**20
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> {log}
{body}
"""
BODIES = {
    "systemctl": "exit 0",
    "mountpoint": 'test -e "{root}/mounted"',
    "mount": 'touch "{root}/mounted"',
    "resize2fs": "exit 0",
}


@dataclass(slots=True)
class Machine:
    """A directory that stands for a machine at boot."""

    root: Path
    metadata: MetadataServer

    @property
    def device(self) -> Path:
        return self.root / "google-axion-data"

    @property
    def values(self) -> StartupValues:
        return StartupValues(
            device=str(self.device), mount=str(self.root / "mnt"), etc=str(self.root / "etc"),
            library=str(self.root / "lib"), metadata=self.metadata.url,
        )  # fmt: skip

    def boot(self) -> subprocess.CompletedProcess[str]:
        script = self.root / "startup-script"
        script.write_text(startup_script(self.values))
        script.chmod(0o755)
        env = os.environ | {"PATH": f"{self.root / 'bin'}:/usr/sbin:/sbin:{os.environ['PATH']}"}
        return subprocess.run([str(script)], env=env, capture_output=True, text=True, check=False, timeout=60)

    @property
    def commands(self) -> list[str]:
        log = self.root / "commands"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def kind(self) -> str:
        argv = ["blkid", "--probe", "--output", "value", "--match-tag", "TYPE", str(self.device)]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    for tool in ("blkid", "mkfs.ext4", "curl", "cmp"):
        if shutil.which(tool, path=f"/usr/sbin:/sbin:{os.environ['PATH']}") is None:
            pytest.fail(
                f"{tool}: not found, got none. Install it: `apt-get install e2fsprogs util-linux curl diffutils`."
            )
    with metadata_server() as metadata:
        made = Machine(tmp_path, metadata)
        (tmp_path / "bin").mkdir()
        for name, body in BODIES.items():
            stand_in = tmp_path / "bin" / name
            stand_in.write_text(STAND_IN.format(log=tmp_path / "commands", body=body.format(root=tmp_path)))
            stand_in.chmod(0o755)
        (tmp_path / "etc" / "ssh").mkdir(parents=True)
        (tmp_path / "etc" / "fstab").write_text("UUID=1 / ext4 defaults 0 1\n")
        for kind, key in (("ssh-ed25519", "AAAAed"), ("ecdsa-sha2-nistp256", "AAAAec")):
            name = kind.split("-")[0 if kind.startswith("ecdsa") else 1]
            (tmp_path / "etc" / "ssh" / f"ssh_host_{name}_key.pub").write_text(f"{kind} {key} root@host\n")
        with made.device.open("wb") as disk:
            disk.truncate(64 * MIB)
        yield made


def test_a_first_boot_makes_a_file_system_mounts_it_and_publishes_the_keys(machine: Machine) -> None:
    done = machine.boot()
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.kind == "ext4"
    assert f"mount {machine.root}/mnt" in machine.commands
    assert machine.metadata.written == {
        "instance/guest-attributes/hostkeys/ssh-ed25519": "AAAAed",
        "instance/guest-attributes/hostkeys/ecdsa-sha2-nistp256": "AAAAec",
    }
    fstab = (machine.root / "etc" / "fstab").read_text().splitlines()
    assert fstab[1] == f"{machine.device} {machine.root}/mnt ext4 noatime,nofail,x-systemd.before=axion.target 0 2"


def test_the_keys_that_say_ready_are_published_only_when_the_disk_is_mounted(machine: Machine) -> None:
    curl = machine.root / "bin" / "curl"
    real = shutil.which("curl")
    curl.write_text(STAND_IN.format(log=machine.root / "commands", body=f'exec {real} "$@"'))
    curl.chmod(0o755)
    assert machine.boot().returncode == 0
    named = [command.split()[0] for command in machine.commands]
    assert (named.count("mount"), named.count("curl")) == (1, 2)
    assert named.index("mount") < named.index("curl")
    assert len(machine.metadata.written) == 2


def test_a_second_boot_keeps_the_data_and_publishes_the_keys_again(machine: Machine) -> None:
    assert machine.boot().returncode == 0
    before = machine.device.read_bytes()
    machine.metadata.written.clear()
    (machine.root / "mounted").unlink()
    done = machine.boot()
    assert (done.returncode, "making a file system" in done.stdout) == (0, False)
    assert machine.device.read_bytes() == before
    assert len(machine.metadata.written) == 2
    assert (machine.root / "etc" / "fstab").read_text().count("google-axion-data") == 1
    assert machine.commands.count(f"resize2fs {machine.device}") == 2


def test_a_mounted_disk_is_not_mounted_twice(machine: Machine) -> None:
    machine.boot()
    machine.boot()
    assert machine.commands.count(f"mount {machine.root}/mnt") == 1


def test_a_disk_with_something_unknown_on_it_is_never_formatted(machine: Machine) -> None:
    with machine.device.open("r+b") as disk:
        disk.seek(700_000)
        disk.write(b"somebody's data")
    before = machine.device.read_bytes()
    done = machine.boot()
    assert done.returncode == 1
    assert "holds something unknown" in done.stdout
    assert machine.device.read_bytes() == before
    assert not (machine.root / "mounted").exists()


def test_a_broken_disk_keeps_nobody_out_and_no_idle_machine_running(machine: Machine) -> None:
    with machine.device.open("r+b") as disk:
        disk.write(b"x")
    assert machine.boot().returncode == 1
    assert len(machine.metadata.written) == 2
    assert "systemctl enable --now axion-idle-stop.timer" in machine.commands


def test_a_metadata_server_that_is_not_up_yet_is_asked_again(machine: Machine) -> None:
    machine.metadata.refuse_writes = 2
    assert machine.boot().returncode == 0
    assert len(machine.metadata.written) == 2


def test_what_is_installed_is_what_was_rendered(machine: Machine) -> None:
    machine.boot()
    for name in SCRIPTS:
        assert (machine.root / "lib" / name).read_text() == (REPOSITORY / "agent" / name).read_text()
    for name in UNITS:
        shared = {"library": machine.values.library, "root": machine.values.mount}
        assert (machine.root / "etc/systemd/system" / name).read_text() == render_template(f"host/{name}.j2", shared)


@pytest.mark.parametrize("name", [*UNITS, "startup.sh"])
def test_rendered_text_is_the_golden_text(name: str) -> None:
    files = [{"path": "/usr/local/lib/axion/one.py", "text": "print(1)\n"}]
    values = {
        "library": "/usr/local/lib/axion",
        "root": "/opt/axion",
        "files": files,
        "etc": "/etc",
        "device": "/dev/disk/by-id/google-axion-data",
        "mount": "/opt/axion",
        "metadata": "http://metadata",
    }
    text = render_template(f"host/{name}.j2", values)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(parents=True, exist_ok=True)
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_systemd_finds_nothing_wrong(tmp_path: Path, systemd_analyze: str) -> None:
    for name in UNITS:
        (tmp_path / name).write_text(
            render_template(f"host/{name}.j2", {"library": str(tmp_path), "root": "/opt/axion"})
        )
    env = os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "SYSTEMD_LOG_LEVEL": "warning"}
    argv = [systemd_analyze, "verify", "--man=no", "--recursive-errors=one", *UNITS]
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_script_starts_with_a_shebang_and_fits_into_metadata() -> None:
    text = startup_script()
    assert text.splitlines()[:2] == ["#!/bin/bash", "# rendered from templates/host/startup.sh.j2, do not edit"]
    assert len(text.encode()) < 256 * 1024  # Google's limit for one value
    assert "END_OF_FILE\n" not in "".join((REPOSITORY / "agent" / name).read_text() for name in SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_runs_on_a_host_speaks_the_oldest_python_of_our_images(name: str) -> None:
    """Debian 12 has 3.11; the system's Python has none of our dependencies."""
    tree = ast.parse((REPOSITORY / "agent" / name).read_text(), feature_version=(3, 11))
    assert ast.get_docstring(tree)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_wrong(tmp_path: Path) -> None:
    script = tmp_path / "startup.sh"
    script.write_text(startup_script())
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
