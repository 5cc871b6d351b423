"""The script that looks at a host, run as on a host, against a root made for the test."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.gateway import ask
from agent.listeners import addresses_of, holder
from agent.processes import configured, served_addresses
from agent.protocol import GatewayState, ModelState, Process, ReleaseDescription, TlsFiles, TlsState
from agent.units import troubles
from agent.unix_http import TcpConnection, call
from build.deploy.facts import Facts, gather, probe_command
from build.remote.executor import LocalExecutor
from build.remote.target import Target
from tests.support.certificates import Authority
from tests.support.hosts import DESCRIPTION

RELEASE, OLDER = "20260131T120000-aaaaaaaa", "20260101T120000-bbbbbbbb"


def probe(
    root: Path,
    *,
    checkpoints: dict[str, str] | None = None,
    listen: tuple[str, ...] = (),
    tls: TlsFiles | None = None,
) -> Facts:
    """What a deployment would learn; parsing it here proves that output and type agree."""
    target = Target(name="a host", root=str(root), runner="supervisor", python=sys.executable)
    command = probe_command(target, checkpoints or {}, listen, tls)
    return gather(LocalExecutor(), command)


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def described(name: str) -> ReleaseDescription:
    return replace(DESCRIPTION, digest=name[-8:])


def add_release(root: Path, name: str, **files: Any) -> Path:
    release = root / "releases" / name
    write(release / "release.json", described(name).to_json())
    for path, content in files.items():
        write(release / path.replace("__", "/"), content)
    return release


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two releases, the newer one current and confirmed, on a sealed environment beside an unfinished one."""
    add_release(tmp_path, OLDER)
    release = add_release(tmp_path, RELEASE, **{"gateway.conf": "x", "lib__gateway__app.py": "y"})
    write(tmp_path / "builds" / "b1" / "manifest.json", {"digest": "b1"})
    write(tmp_path / "builds" / "unfinished" / "pip.txt", "")
    (release / "build").symlink_to("../../builds/b1")
    for link in ("current", "confirmed"):
        (tmp_path / link).symlink_to(f"releases/{RELEASE}")
    return tmp_path


def test_a_host_that_nobody_ever_deployed_to_has_nothing_but_itself(tmp_path: Path) -> None:
    found = probe(tmp_path / "not" / "there" / "yet", checkpoints={"alpha": str(tmp_path / "none")})
    assert (found.current, found.confirmed, found.releases, found.files, found.builds) == (None, None, {}, {}, ())
    assert (found.engines, found.runner, found.gateway) == ({}, None, None)
    assert found.checkpoints == {"alpha": None}
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.machine == os.uname().machine
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert 0 < found.memory_bytes <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found.disk_free_bytes > 0
    assert not (tmp_path / "not").exists()


def test_releases_links_and_sealed_environments_are_seen(root: Path) -> None:
    found = probe(root)
    assert (found.current, found.confirmed) == (RELEASE, RELEASE)
    assert list(found.releases) == [OLDER, RELEASE]
    assert found.release(RELEASE) == described(RELEASE)
    assert found.builds == ("b1",)


def test_an_environment_whose_manifest_a_power_cut_emptied_is_not_sealed(root: Path) -> None:
    write(root / "builds" / "b1" / "manifest.json", "")
    write(root / "builds" / "b2" / "manifest.json", {"digest": "b1"})
    found = probe(root)
    assert found.builds == ()
    assert sorted(found.unfinished_builds) == ["b1", "b2", "unfinished"]


def test_an_upload_that_never_finished_is_no_release(root: Path) -> None:
    write(root / "releases" / f".{RELEASE}.new" / "release.json", {})
    write(root / "releases" / "20260202T000000-cccccccc" / "gateway.json", {})
    assert list(probe(root).releases) == [OLDER, RELEASE]


def test_every_file_of_the_current_release_is_digested_except_what_python_makes_of_it(root: Path) -> None:
    write(root / "current" / "lib" / "gateway" / "__pycache__" / "app.pyc", "z")
    write(root / "builds" / "b1" / "venv" / "huge", "not read through the link")
    assert probe(root).files == {
        "gateway.conf": hashlib.sha256(b"x").hexdigest(),
        "lib/gateway/app.py": hashlib.sha256(b"y").hexdigest(),
    }


def launcher(root: Path, name: str) -> "subprocess.Popen[bytes]":
    """A process that looks like a launcher, by its command line."""
    code = "import time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-I", "-c", code, "agent.launch", name])
    while "agent.launch" not in Path(f"/proc/{process.pid}/cmdline").read_text():
        time.sleep(0.01)
    return process


def test_only_engines_whose_launcher_lives_in_this_boot_run(root: Path) -> None:
    alive, ended = launcher(root, "alpha"), subprocess.Popen(["true"])
    ended.wait(10)
    try:
        started = int(Path(f"/proc/{alive.pid}/stat").read_text().split()[21])
        record = {"unit_digest": "u1", "pid": alive.pid, "start_ticks": started}
        write(root / "run" / "alpha.json", record)
        write(root / "run" / "dead.json", {**record, "pid": ended.pid})
        write(root / "run" / "reused.json", {**record, "pid": os.getpid()})  # a process that is no launcher
        write(root / "run" / "rebooted.json", {**record, "start_ticks": started - 1})
        assert {name: (one.unit_digest, one.pid) for name, one in probe(root).engines.items()} == {
            "alpha": ("u1", alive.pid)
        }
    finally:
        alive.kill()
        alive.wait(10)


BROKEN = ("", "{", "[]", "[1]", '"text"', "7", "null", "{}", '{"pid": 1}', '{"pid": "x"}', '{"pid": []}')


def test_a_broken_file_is_no_engine_no_release_and_no_checkpoint_and_never_a_failure(root: Path) -> None:
    checkpoints = {}
    for number, broken in enumerate(BROKEN):
        write(root / "run" / f"m{number}.json", broken)
        write(root / "releases" / f"20260202T0000{number:02}-c" / "release.json", broken)
        checkpoints[f"m{number}"] = str(write(root / "checkpoints" / str(number) / "config.json", broken).parent)
    found = probe(root, checkpoints=checkpoints)
    assert found.engines == {}
    assert found.current == RELEASE
    assert all(each is not None and each.problems for each in found.checkpoints.values())
    assert found.releases.keys() == {OLDER, RELEASE}
    assert found.unread.keys() == {f"20260202T0000{number:02}-c" for number in range(len(BROKEN))}


def test_a_record_of_a_living_launcher_without_a_digest_is_no_failure(root: Path) -> None:
    alive = launcher(root, "alpha")
    try:
        write(root / "run" / "alpha.json", {"pid": alive.pid})
        assert probe(root).engines == {}
    finally:
        alive.kill()
        alive.wait(10)


def test_a_process_owns_what_it_listens_on_and_nothing_else() -> None:
    with socket.socket() as ours, socket.socket() as connected:
        ours.bind(("127.0.0.1", 0))
        ours.listen()
        connected.connect(ours.getsockname())
        address = f"127.0.0.1:{ours.getsockname()[1]}"
        assert address in addresses_of(os.getpid())
        assert f"127.0.0.1:{connected.getsockname()[1]}" not in addresses_of(os.getpid())
        assert address in served_addresses({"gateway": Process("RUNNING", os.getpid())}, "supervisor")
        assert address not in addresses_of(os.getppid())
    assert address not in addresses_of(os.getpid())
    assert served_addresses(None, "supervisor") == ()
    assert served_addresses({"gateway": Process("BACKOFF", 0)}, "supervisor") == ()


ODD_ADDRESSES = [
    *({"host": host, "port": 8080} for host in ("a\0b", "\udcff", "a..b", "h" * 300, "[")),
    *({"host": "127.0.0.1", "port": port} for port in (99999, -1, 10**30)),
]


@pytest.mark.parametrize("listen", [[], {"host": 1}, "x", [{"host": None, "port": "8080"}]])
def test_a_gateway_configuration_edited_beyond_recognition_is_no_failure(root: Path, listen: Any) -> None:
    write(root / "current" / "gateway.json", {"listen": listen})
    assert probe(root).gateway is None


def test_nobody_answers_and_nobody_could_listen_at_an_address_that_is_none(root: Path) -> None:
    for listen in ODD_ADDRESSES:
        write(root / "current" / "gateway.json", {"listen": [listen]})
        (address,) = configured(root)
        assert ask(address) is None, listen
        assert troubles(root, "supervisor", {"gateway": Process("FATAL", 0)}) == (), listen
    write(root / "current" / "gateway.json", {"listen": ODD_ADDRESSES[:1]})
    assert probe(root, listen=("a\0b:8080",)).refused_addresses == {
        "a\0b:8080": "host name must not contain null character"
    }


def test_no_model_answers_through_an_address_that_is_none() -> None:
    for listen in ODD_ADDRESSES:
        address = f"{listen['host']}:{listen['port']}"
        assert call(TcpConnection(address, 1), "GET", "/")[0] == 0, address
    assert call(TcpConnection("no address", 1), "GET", "/") == (0, b"no address: no address")


def test_addresses_are_free_until_somebody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        assert probe(tmp_path, listen=(taken, "127.0.0.1:0")).refused_addresses == {taken: "EADDRINUSE"}
    assert probe(tmp_path, listen=(taken,)).refused_addresses == {}


def test_a_program_that_has_an_address_may_have_any_name() -> None:
    code = (
        "import ctypes, socket, sys\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "ctypes.CDLL(None).prctl(15, b'caf\\xe9', 0, 0, 0)\n"
        "print(server.getsockname()[1], flush=True)\nsys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert holder(f"127.0.0.1:{port}") == f"caf\ufffd (pid {process.pid})"
        process.communicate()


def test_an_address_of_another_host_is_not_in_use(tmp_path: Path) -> None:
    assert probe(tmp_path, listen=("192.0.2.1:8080",)).refused_addresses == {"192.0.2.1:8080": "EADDRNOTAVAIL"}


def test_a_port_that_needs_root_is_not_in_use() -> None:
    code = (
        "import os, sys\nfrom agent.probe import refusal\n"
        "os.geteuid() or os.setuid(65534)\nprint(refusal('127.0.0.1:77'))"
    )
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first <= 77:
        pytest.skip("here everybody may take every port")
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("EACCES\n", "")


@contextmanager
def answering(body: bytes) -> Iterator[int]:
    """Answer every GET with one body; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


STATS = {"unit_digest": "ug", "config_digest": "g1", "models": {"alpha": {"state": "ready"}}}


@pytest.mark.parametrize(
    ("body", "is_seen"),
    [
        (json.dumps({**STATS, "pid": 3}), True),
        ("{}", False),
        ("[]", False),
        ("hello", False),
        (json.dumps({**STATS, "models": []}), False),
        (json.dumps({**STATS, "models": {"alpha": 3}}), False),
    ],
)
def test_the_gateway_is_asked_what_it_serves(root: Path, body: str, is_seen: bool) -> None:
    with answering(body.encode()) as port:
        write(root / "current" / "gateway.json", {"listen": [{"host": "127.0.0.1", "port": port}]})
        gateway = probe(root).gateway
    assert (gateway is not None) is is_seen
    if gateway is not None:
        assert gateway == GatewayState(
            unit_digest="ug", config_digest="g1", models={"alpha": ModelState("ready")}, pid=3
        )


def test_the_gateway_is_asked_where_it_speaks_no_tls(root: Path) -> None:
    with answering(json.dumps({**STATS, "tls": {"ends_s": 1.5, "error": None, "new": 1}}).encode()) as port:
        listen = [{"host": "0.0.0.0", "port": 1}, {"host": "127.0.0.1", "port": port}]
        write(root / "current" / "gateway.json", {"listen": listen})
        gateway = probe(root).gateway
    assert gateway is not None
    assert gateway.tls == TlsState(ends_s=1.5, error=None)


def test_a_certificate_is_judged_on_its_host(root: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    good, old = authority.pair("good"), authority.pair("old", days=-1)
    gone = tmp_path / "gone"
    for certificate, key, expected in (
        (good.certificate, good.key, ()),
        (old.certificate, old.key, (f"{old.certificate}: the certificate expired at ",)),
        (gone, good.key, (f"{gone}: cannot be read: No such file or directory. Give a file in PEM.",)),
    ):
        found = probe(root, tls=TlsFiles(certificate=str(certificate), key=str(key))).tls_problems
        assert len(found) == len(expected)
        assert all(said.startswith(start) for said, start in zip(found, expected, strict=True))
    assert probe(root).tls_problems == ()


def test_a_silent_runner_is_none(root: Path) -> None:
    (root / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(root / "run")  # the path of a socket is short
        try:
            server.bind("supervisor.sock")
        finally:
            os.chdir(before)
    assert probe(root).runner is None


@pytest.mark.parametrize("folder", ["releases", "answered", "builds", f"releases/{RELEASE}", "run"])
def test_a_name_that_is_no_text_hides_nothing_else(root: Path, folder: str) -> None:
    """As an archive from elsewhere leaves it, or a broken disk: every task went down with it."""
    odd = root / folder / os.fsdecode(b"caf\xe9.json")
    odd.mkdir(parents=True)
    write(odd / "release.json", {"digest": "\udce9"})
    facts = probe(root)
    assert facts.current == RELEASE
    assert {OLDER, RELEASE} == facts.releases.keys()
    assert facts.builds == ("b1",)
