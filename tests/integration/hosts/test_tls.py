"""TLS and keys on a systemd host: root's files, the gateway's user, a renewal and a boot, seen as by other machines."""

import http.client
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority, Pair
from tests.support.host_deployment import HostDeployment, host_deployment
from tests.support.share import eventually
from tests.support.web import free_port

pytestmark = pytest.mark.hosts

FILES = "etc/axion-tls"
KEY = "sk-ffffffffffffffffffffffff"


class Served:
    """A host whose gateway speaks TLS to other machines and asks them for a key."""

    def __init__(self, host: HostDeployment, base: Path) -> None:
        self.host = host
        self.port = free_port()
        self.authority = Authority(base / "authority")
        self.put(self.authority.pair("first"))
        keys = host.machine.root / FILES / "keys"
        keys.write_text(f"{KEY} name=alice\n")
        keys.chmod(0o600)
        host.inventory = host.machine.inventory(gateway_keys=f"/{FILES}/keys", gateway_clients=["10.0.0.0/8"])
        host.rest["gateway"] = {
            "listen": [f"127.0.0.1:{host.port}", f"0.0.0.0:{self.port}"],
            "tls": {"certificate": f"/{FILES}/fullchain.pem", "key": f"/{FILES}/privkey.pem"},
        }

    def put(self, pair: Pair, *, key: Path | None = None) -> None:
        """Renew the files as certbot does: the key is root's alone."""
        folder = self.host.machine.root / FILES
        folder.mkdir(exist_ok=True)
        shutil.copy(pair.certificate, folder / "fullchain.pem")
        shutil.copy(key or pair.key, folder / "privkey.pem")
        (folder / "privkey.pem").chmod(0o600)

    def shown(self) -> str:
        """Whose certificate a new connection is shown, verified."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            self.trust().wrap_socket(plain, server_hostname="localhost") as spoken,
        ):
            told = spoken.getpeercert()
        assert told is not None
        return dict(each[0] for each in told["subject"])["commonName"]  # type: ignore[misc] # as ssl documents it

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.file))

    def ask(self, key: str | None) -> int:
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=30, context=self.trust())
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        body = {"model": "alpha", "messages": [{"role": "user", "content": "?"}]}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def reload(self) -> tuple[int, str]:
        ran = self.host.machine.run("systemctl", "reload", "gateway.service")
        return ran.returncode, ran.stderr

    def stats(self) -> dict[str, object]:
        status, told = self.host.call("GET", "/stats")
        assert status == 200
        tls: dict[str, object] = told["tls"]
        return tls


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with host_deployment("tls", tmp_path_factory.mktemp("d"), ("alpha",)) as host:
        made = Served(host, tmp_path_factory.mktemp("tls"))
        host.deploy()
        yield made


def test_other_machines_speak_tls_and_need_a_key_and_the_host_itself_reads_its_state_without(served: Served) -> None:
    assert served.shown() == "first"
    assert (served.ask(KEY), served.ask(KEY + "f"), served.ask(None)) == (200, 401, 401)
    assert served.stats()["error"] is None
    assert served.host.call("POST", "/v1/chat/completions", {"model": "alpha", "messages": []})[0] == 401
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as plain:
        plain.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/" not in plain.recv(100)


def test_the_gateways_user_cannot_read_roots_files(served: Served) -> None:
    for name in ("privkey.pem", "keys"):
        words = ("setpriv", "--reuid=axion", "--clear-groups", "cat", f"/{FILES}/{name}")
        assert "Permission denied" in served.host.machine.run(*words).stderr
    assert KEY not in served.host.machine.output("sh", "-c", "cat /run/axion/* 2>&1 || true")


def test_status_and_doctor_say_until_when_and_a_deployment_changes_nothing(served: Served) -> None:
    until = served.authority.pair("again").made.not_valid_after_utc.strftime("%Y-%m-%d")
    assert until in served.host.succeed("status").said
    assert until in served.host.succeed("doctor").said
    assert "Nothing to do: " in served.host.deploy().said


def test_a_renewed_certificate_comes_with_a_reload_and_one_without_its_key_changes_nothing(served: Served) -> None:
    before = served.host.unit("gateway.service")["MainPID"]
    served.put(served.authority.pair("second"))
    assert served.shown() == "first"
    assert served.reload() == (0, "")
    eventually(lambda: served.shown() == "second", "the new certificate is shown")
    served.put(served.authority.pair("third"), key=served.authority.pair("fourth").key)
    status, _ = served.reload()
    assert status != 0
    assert served.shown() == "second"
    assert served.ask(KEY) == 200
    assert served.host.unit("gateway.service")["MainPID"] == before
    problem = served.host.refuse("plan")
    assert f"/{FILES}/" in problem
    served.put(served.authority.pair("fifth"))
    assert served.reload() == (0, "")
    eventually(lambda: served.shown() == "fifth", "the right pair is shown")


def test_after_a_boot_it_speaks_tls_and_asks_for_keys_as_before(served: Served) -> None:
    served.host.machine.reboot()
    eventually(lambda: served.host.call("GET", "/readyz")[0] == 200, "it serves", 120)
    assert served.shown() == "fifth"
    assert (served.ask(KEY), served.ask(None)) == (200, 401)
