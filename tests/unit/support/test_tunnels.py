"""The way through Identity-Aware Proxy in a rehearsal: real programs at both ends of it, and its refusals."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloud_calls import COMPUTE, ZONE, booted, done
from tests.support.fakes.cloud.server import Cloud
from tests.support.rehearsal.tunnels import Tunnels

TUNNEL = ("compute", "start-iap-tunnel", "vm", "22", "--listen-on-stdin", "--project=axion-test")
HERE = ("--zone=us-central1-a", "--verbosity=warning")
PROXY = "35.235.240.0/20"


class Host:
    """Sends back whatever it is sent, and ends when the other end does."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.is_listening = True

    def connect(self, path: str, port: int) -> socket.socket:
        self.asked.append((path, port))
        if not self.is_listening:
            raise ConnectionRefusedError
        near, far = socket.socketpair()
        threading.Thread(target=self._echo, args=(far,), daemon=True).start()
        return near

    def _echo(self, end: socket.socket) -> None:
        with end:
            while data := end.recv(4096):
                end.sendall(data)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def gcloud(cloud: Cloud, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The rehearsal's gcloud, on an instance that a firewall rule lets the proxy reach."""
    real = tmp_path / "real" / "gcloud"
    real.parent.mkdir()
    real.write_text('#!/bin/sh\necho "the real gcloud: $*"\n')
    real.chmod(0o755)
    monkeypatch.setenv("PATH", f"{real.parent}{os.pathsep}{os.environ['PATH']}")
    booted(cloud, tags={"items": ["ssh"]})
    allowed = [{"IPProtocol": "tcp", "ports": ["22"]}]
    rule = {"name": "iap", "network": "global/networks/net", "sourceRanges": [PROXY], "allowed": allowed}
    done(cloud, "POST", f"{COMPUTE}/global/firewalls", {**rule, "direction": "INGRESS", "targetTags": ["ssh"]})
    tunnels = Tunnels(cloud, host.connect, tmp_path)
    tunnels.write_gcloud(tmp_path / "bin")
    tunnels.start()
    yield str(tmp_path / "bin" / "gcloud")
    tunnels.stop()


def run(*words: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(words, input=given, capture_output=True, timeout=20, check=False)


def test_every_byte_goes_both_ways_through_a_tunnel(gcloud: str, host: Host) -> None:
    sent = os.urandom(3_000_001)
    done = run(gcloud, *TUNNEL, *HERE, given=sent)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == sent
    assert host.asked == [("projects/axion-test/zones/us-central1-a/instances/vm", 22)]


def refused(gcloud: str, *words: str) -> str:
    done = run(gcloud, *words)
    assert (done.returncode, done.stdout) == (1, b"")
    said = done.stderr.decode()
    assert said.startswith("ERROR: (gcloud.compute.start-iap-tunnel) ")
    return said


def test_a_tunnel_leads_only_to_an_instance_that_runs(gcloud: str, cloud: Cloud, host: Host) -> None:
    assert "'projects/axion-test/zones/us-central1-b/instances/vm' was not found" in refused(
        gcloud, *TUNNEL, "--zone=us-central1-b"
    )
    done(cloud, "POST", f"{ZONE}/instances/vm/stop")
    assert "4003: 'failed to connect to backend'" in refused(gcloud, *TUNNEL, *HERE)
    assert host.asked == []


def test_a_tunnel_needs_a_server_at_its_end(gcloud: str, host: Host) -> None:
    host.is_listening = False
    assert "4003" in refused(gcloud, *TUNNEL, *HERE)


@pytest.mark.parametrize(
    "change", [{"sourceRanges": ["10.0.0.0/8"]}, {"targetTags": ["web"]}, {"allowed": [{"IPProtocol": "udp"}]}]
)
def test_a_tunnel_needs_a_firewall_rule(gcloud: str, cloud: Cloud, host: Host, change: dict[str, object]) -> None:
    cloud.state.resources["projects/axion-test/global/firewalls/iap"].update(change)
    assert "4003" in refused(gcloud, *TUNNEL, *HERE)
    assert host.asked == []


def test_everything_else_is_the_real_gcloud_s_business(gcloud: str) -> None:
    assert run(gcloud, "compute", "instances", "list", "--filter=a b").stdout == (
        b"the real gcloud: compute instances list --filter=a b\n"
    )
    profile = json.loads(run(gcloud, "compute", "os-login", "describe-profile", "--format=json").stdout)
    assert [account["username"] for account in profile["posixAccounts"]] == ["someone_example_com"]
