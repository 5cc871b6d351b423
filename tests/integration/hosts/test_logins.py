"""The login matrix: every task over every kind of login, on a real sshd with real shells and a real sudo.

Each row is a user of one host, whose operator has an agent with nine keys. Every task that looks at a host or changes
it works as that user, or says in one sentence why it cannot. `make test-hosts`.
"""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_deployment import ROOT, HostDeployment
from tests.support.login_table import REFUSED, WARNING, WORKING
from tests.support.machines.logins import Login, add_logins
from tests.support.machines.machine import Machine, booted
from tests.support.machines.shells import shells_layer
from tests.support.machines.standin import standin_layers
from tests.support.ran import Ran
from tests.support.share import eventually
from tests.support.ssh_agent import agent

pytestmark = pytest.mark.hosts

HOST = "login-matrix"
PRIVILEGED_PORT = 245
LOOKING = ("status", "plan", "verify")
CHANGING = (
    *("build-and-deploy", "doctor", "releases", "history", "logs alpha", "unlock", "restart alpha", "rollback", "stop"),
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    """A deployed host with all logins, which cannot resolve its own name; its operator has too many keys."""
    base = tmp_path_factory.mktemp("d")
    machine = Machine(HOST, port=2450, layers=(*standin_layers("amd64"), shells_layer()))
    with booted(machine), pytest.MonkeyPatch.context() as patched, agent(base, patched, count=9):
        patched.setenv("HOME", str(base))
        deployed = HostDeployment(machine, base, ("alpha",))
        deployed.port = PRIVILEGED_PORT
        deployed.write()
        assert run(deployed, "build-and-deploy", "--inventory", str(machine.inventory())).status == 0
        add_logins(machine, (*WORKING, *REFUSED))
        machine.output("chage", "--expiredate=1", "expired")
        etc = machine.root / "etc"
        (etc / "hosts").write_text("127.0.0.1 localhost\n")
        (etc / "nsswitch.conf").write_text((etc / "nsswitch.conf").read_text().replace(" dns", ""))
        yield deployed


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, ...]]]:
    """What became of each login, printed at the end."""
    rows: list[tuple[str, ...]] = []
    yield rows
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print()
        for row in rows:
            print(f"{row[0]:36} {row[2]:14} {row[1]}")


def as_user(host: HostDeployment, *names: str, **changes: Any) -> str:
    """An inventory whose hosts are this one, each with another login."""
    path = host.machine.inventory(**changes)
    document = json.loads(path.read_text())
    (entry,) = document["hosts"].values()
    document["hosts"] = {name: {**entry, "name": name, "ssh_user": name} for name in names}
    path.write_text(json.dumps(document))
    return str(path)


def place(host: HostDeployment, name: str) -> str:
    return f"{name} (127.0.0.1:{host.machine.access.port})"


def told(host: HostDeployment, login: Login) -> str:
    return f"{place(host, login.name)}: {(login.told or WARNING).format(name=login.name)}"


def run(host: HostDeployment, *words: str) -> Ran:
    host.inventory = Path("unused")
    began = time.monotonic()
    process = super(HostDeployment, host).popen(*words)
    try:
        stdout, stderr = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail("".join(process.communicate()))
    ran = Ran(status=process.returncode, stdout=stdout, stderr=stderr, took_s=time.monotonic() - began)
    assert "Traceback" not in ran.said, ran.said
    return ran


def test_every_task_that_looks_gives_the_same_answer_through_every_login(
    host: HostDeployment, table: list[tuple[str, ...]]
) -> None:
    host.write()
    names = [login.name for login in WORKING]
    inventory = as_user(host, "root", *names)
    for task in LOOKING:
        ran = run(host, task, "--inventory", inventory, "--json")
        assert ran.status == 0, ran.said
        told_lines = [line for line in ran.stderr.splitlines() if "skipped" in line]
        assert sorted(told_lines) == sorted(told(host, login) for login in WORKING), "once a host"
        answers = json.loads(ran.stdout)
        assert answers.keys() == {"root", *names}
        for name in names:
            assert answers[name] == answers["root"], (task, name)
    table.append(("every one of them", f"{len(LOOKING)} tasks that look: as root's", "works"))


@pytest.mark.parametrize("login", WORKING, ids=lambda login: login.name)
def test_every_task_that_changes_a_host_works_through_this_login(
    host: HostDeployment, login: Login, table: list[tuple[str, ...]]
) -> None:
    host.models["alpha"]["engine"]["max_num_seqs"] = 10 + WORKING.index(login)
    host.write()
    seen = set(host.releases())
    inventory = as_user(host, login.name)
    ran = run(host, *(word for task in CHANGING for word in (*task.split(), "--inventory", inventory)))
    assert ran.status == 0, ran.said
    assert ran.stderr.splitlines().count(told(host, login)) == len(CHANGING), ran.said
    for words in (" serves alpha at ", "alpha answers after ", " serves again after ", "Stopped after "):
        assert words in ran.stderr
    assert "stand-in: loading alpha" in ran.stdout
    (new,) = set(host.releases()) - seen
    assert host.link("current") in seen
    modes = host.machine.output("find", f"/{ROOT}/releases/{new}", "!", "-perm", "-o=r", "-print")
    assert modes == "", "engines, who are not root, read it"
    table.append((login.what, f"{', '.join(CHANGING)}", "works"))


@pytest.mark.parametrize("login", REFUSED, ids=lambda login: login.name)
def test_a_login_that_cannot_work_is_told_at_the_first_try(
    host: HostDeployment, login: Login, table: list[tuple[str, ...]]
) -> None:
    changes = {"identity_file": None} if login.name == "manykeys" else {}
    inventory = as_user(host, login.name, **changes)
    before = host.lock()
    ran = run(host, "build-and-deploy", "--inventory", inventory)
    assert (ran.status, ran.stdout) == (1, "")
    assert ran.stderr.startswith(told(host, login)), ran.stderr
    assert ran.stderr.count("\n") == 1, "one sentence"
    assert "Wait for" not in ran.stderr, "nothing is tried again"
    assert host.lock() == before
    table.append((login.what, ran.stderr.partition(": ")[2].strip(), "told"))


def test_a_host_with_too_many_logins_is_waited_for_or_told(host: HostDeployment, table: list[tuple[str, ...]]) -> None:
    setting = host.machine.root / "etc" / "ssh" / "sshd_config.d" / "a-startups.conf"
    setting.write_text("MaxStartups 1\n")
    host.machine.output("systemctl", "reload", "ssh")
    eventually(host.machine.answers, "sshd listens again")
    inventory = as_user(host, "insh")
    waiting = socket.create_connection(("127.0.0.1", host.machine.access.port))
    try:
        while waiting.recv(4) != b"SSH-":  # sshd has not noticed yet that the last login is over
            waiting = socket.create_connection(("127.0.0.1", host.machine.access.port))
        ran = run(host, "releases", "--inventory", inventory)
        assert ran.status == 1
        assert "hangs up on whoever connects: Exceeded MaxStartups. " in ran.stderr
        process = super(HostDeployment, host).popen("releases", "--inventory", inventory)
        time.sleep(4)
        waiting.close()
        assert process.wait(120) == 0
    finally:
        waiting.close()
        setting.unlink()
        host.machine.output("systemctl", "reload", "ssh")
    table.append(("MaxStartups 1", "waited for 10 s, then: hangs up ...: Exceeded MaxStartups", "works or told"))
