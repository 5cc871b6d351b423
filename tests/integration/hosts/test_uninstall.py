"""`fab uninstall` on a systemd host: its files afterwards are those from before, but for a list. `make test-hosts`."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.host_deployment import HostDeployment, host_deployment
from tests.support.machines.standin import standin_layers

pytestmark = pytest.mark.hosts

LEFT = {
    # useradd and userdel keep the version before.
    "etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/subuid-", "etc/subgid-",
}  # fmt: skip
PASSING = (
    *("dev/", "proc/", "sys/", "tmp/", "run/", "var/log/journal/", "var/log/wtmp", "var/lib/systemd/", "var/tmp/"),
    # apt and dpkg, about a package that stays.
    *("var/lib/apt/", "var/lib/dpkg/", "var/cache/", "var/log/apt/", "var/log/dpkg.log", "etc/ld.so.cache"),
)
"""What a host that runs writes by itself; what of it is ours is looked for by name."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    with host_deployment("newcomer-uninstall", tmp_path_factory.mktemp("d")) as deployed:
        yield deployed


def content(host: HostDeployment) -> dict[str, str]:
    """Every path of the host with what it is: kind, mode, owner, and of files that are small the text."""
    told = host.machine.output(
        "find", "/", "-xdev", "-printf", "%P\t%y %m %u %g %l\n", timeout_s=120
    )  # fmt: skip
    found = dict(line.split("\t") for line in told.splitlines() if "\t" in line)
    return {path: what for path, what in found.items() if path and not path.startswith(PASSING)}


def ours(host: HostDeployment) -> list[str]:
    """What of the passing is ours: by name, by account, by unit."""
    places = ("/run", "/var/log/journal", "/var/lib/systemd", "/var/tmp", "/tmp")
    found = host.machine.output("find", *places, "-xdev", "(", "-name", "*axion*", "-o", "-name", "*vllm*", ")")
    units = host.machine.output(
        "systemctl", "list-units", "--all", "--plain", "--no-legend", "vllm@*", "*axion*", "gateway*"
    )
    units += host.machine.run("systemctl", "list-unit-files", "--no-legend", "vllm@*", "axion*", "gateway*").stdout
    processes = [each for each in host.machine.output("ps", "-eo", "user:20,args").splitlines() if "axion" in each]
    shell = [each for each in processes if "find" not in each and "uninstall" not in each]
    return [*found.splitlines(), *units.splitlines(), *(each for each in shell if "/opt/axion" in each)]


def deploy(host: HostDeployment) -> None:
    """The first one asks apt, which takes its time on a busy computer."""
    host.write()
    ran = host.fab("build-and-deploy", timeout_s=300)
    assert ran.status == 0, ran.said


def texts(host: HostDeployment) -> dict[str, bytes]:
    names = ("passwd", "shadow", "group", "gshadow")
    return {name: (host.machine.root / "etc" / name).read_bytes() for name in names}


def test_a_host_is_as_it_was_before_its_first_deployment_and_serves_after_another(host: HostDeployment) -> None:
    before, accounts = content(host), texts(host)
    deploy(host)
    assert host.answers()
    said = host.refuse("uninstall")
    assert "uninstall: nothing was removed, got no answer. Say yes, or add --yes." in said
    assert "axion.target, gateway-handover.service" in said
    assert "the system account axion" in said
    packages = re.findall(r"packages that a deployment installed: (.*); remove by apt-get what nobody needs", said)
    assert packages == ["libnuma1"]
    assert "/srv/checkpoints/alpha: a checkpoint that the models file names by its path" in said
    assert host.answers()

    host.succeed("uninstall", "--yes")
    after = content(host)
    assert sorted(set(before) - set(after)) == []
    of_packages = {path.strip("/") for path in host.machine.output("dpkg", "--listfiles", "libnuma1").splitlines()}
    assert sorted(set(after) - set(before) - LEFT - of_packages) == []
    assert {path: (before[path], after[path]) for path in after if before.get(path, after[path]) != after[path]} == {}
    assert texts(host) == accounts
    assert ours(host) == []
    assert host.machine.output("systemctl", "--failed", "--no-legend") == ""
    assert "nothing of ours is there." in host.succeed("uninstall", "--yes").said
    assert content(host) == after

    deploy(host)
    assert host.answers()
    assert host.serves_current()


def test_an_uninstallation_that_is_killed_is_finished_by_the_same_command(host: HostDeployment) -> None:
    """At moments of its own: the connection's end is the program's, wherever it is."""
    for after_s in (1.0, 1.5, 2.0, 2.5, 3.0):
        deploy(host)
        process = host.popen("uninstall", "--yes")
        time.sleep(after_s)
        process.kill()
        process.communicate()
        host.succeed("uninstall", "--yes")
        assert ours(host) == []
        assert [path.name for path in host.root.iterdir()] == ["builds"]  # the stand-in's, which was there before
        assert "nothing of ours is there." in host.succeed("uninstall", "--yes").said


def test_what_runs_without_its_unit_files_and_without_a_release_is_ended(host: HostDeployment) -> None:
    deploy(host)
    units = "vllm@.service gateway.service gateway.socket axion.target axion.slice"
    host.machine.output("sh", "-c", f"cd /etc/systemd/system && rm -r {units} vllm@*.d && rm /opt/axion/current")
    host.succeed("uninstall", "--yes")
    assert ours(host) == []


def test_a_mount_a_persons_files_and_a_persons_account_stay(host: HostDeployment) -> None:
    """As on a server that has other work: its data disk, and somebody who is called axion."""
    host.machine.output("mkdir", "/srv/data")
    host.machine.output("mount", "-t", "tmpfs", "-o", "size=256M,mode=0755", "tmpfs", "/srv/data")
    host.machine.output("useradd", "--create-home", "axion")
    mine = ("models/mine/config.json", "work/thesis.txt", "logs/nginx.log", "notes.txt")
    for path in mine:
        host.machine.output("sh", "-c", f"mkdir -p $(dirname /srv/data/{path}) && echo mine >/srv/data/{path}")
    host.machine.output("mkdir", "/srv/data/builds")
    builds = standin_layers("amd64", "srv/data")[0] / "srv" / "data" / "builds"
    host.inventory = host.machine.inventory(data_mount="/srv/data")
    init, kept = host.machine.init, host.root
    assert init is not None
    try:
        host.root = Path(f"/proc/{init.pid}/root/srv/data")  # what is mounted there, only the host sees
        shutil.copytree(builds, host.root / "builds", symlinks=True, dirs_exist_ok=True)
        deploy(host)
        assert host.answers()
        said = host.succeed("uninstall", "--yes").said
        assert "the account axion: not one that a deployment made" in said
        assert "/srv/data/models/mine: not ours" in said
        left = host.machine.output("find", "/srv/data", "-type", "f", "-printf", "%P\n").split()
        assert sorted(path for path in left if not path.startswith("builds/")) == sorted(mine)
        assert host.machine.run("mountpoint", "--quiet", "/srv/data").returncode == 0
        assert host.machine.output("id", "-un", "axion").strip() == "axion"
        assert ours(host) == []
    finally:
        host.root = kept
