"""Identity-Aware Proxy's side of a tunnel: to a running instance, if a firewall rule lets the proxy in.

`gcloud compute start-iap-tunnel` speaks with a relay of Google's that cannot be had elsewhere. The `gcloud` of a
rehearsal gives this one command to `tunnel_client.py`, which connects here; all others are the real gcloud's.
"""

import json
import shlex
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.fakes.cloud.server import Cloud
from tests.support.rehearsal.guest_files import USER
from tests.support.rehearsal.relay import relay

PROXY_RANGE = "35.235.240.0/20"
NO_BACKEND = "Error while connecting [4003: 'failed to connect to backend']. (Failed to connect to port {port})"
Json = dict[str, Any]

GCLOUD = """#!/bin/sh
case "$*" in
"compute start-iap-tunnel "*) exec {python} -I {client} {socket} "$@" ;;
# Profiles are of an account, and there is none here.
"compute os-login describe-profile"*) echo {profile}; exit ;;
esac
exec {gcloud} "$@"
"""


Connect = Callable[[str, int], socket.socket]
"""To a port of the instance at a path. Raises OSError where nobody listens."""


class Tunnels:
    """Listens where the rehearsal's gcloud connects."""

    def __init__(self, cloud: Cloud, connect: Connect, folder: Path) -> None:
        self.cloud, self.connect = cloud, connect
        self.address = folder / "iap.sock"
        self._listening = socket.socket(socket.AF_UNIX)

    def start(self) -> None:
        self._listening.bind(str(self.address))
        self._listening.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listening.close()
        self.address.unlink(missing_ok=True)

    def write_gcloud(self, folder: Path) -> None:
        """Put the rehearsal's gcloud into a folder for PATH."""
        real = shutil.which("gcloud")
        assert real is not None, "main looked for it"
        folder.mkdir(parents=True, exist_ok=True)
        profile = {"name": "1", "posixAccounts": [{"primary": True, "username": USER, "uid": "2000", "gid": "2000"}]}
        words = {
            "python": sys.executable,
            "client": Path(__file__).with_name("tunnel_client.py"),
            "socket": self.address,
            "profile": json.dumps(profile),
            "gcloud": real,
        }
        script = folder / "gcloud"
        script.write_text(GCLOUD.format(**{key: shlex.quote(str(value)) for key, value in words.items()}))
        script.chmod(0o755)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            asked = json.loads(client.makefile("rb", buffering=0).readline())
            problem, server = self._open(asked)
            client.sendall(json.dumps({"problem": problem}).encode() + b"\n")
            if server is not None:
                with server:
                    relay(client, server)

    def _open(self, asked: Json) -> tuple[str | None, socket.socket | None]:
        path = f"projects/{asked['project']}/zones/{asked['zone']}/instances/{asked['name']}"
        port = int(asked["port"])
        with self.cloud.state.lock:
            self.cloud.state.advance()
            instance = self.cloud.state.resources.get(path)
            if instance is None:
                return f"Could not fetch resource:\n - The resource '{path}' was not found", None
            is_open = instance["status"] == "RUNNING" and self._lets_in(instance, port)
        if not is_open:
            return NO_BACKEND.format(port=port), None
        try:
            server = self.connect(path, port)
        except OSError:
            return NO_BACKEND.format(port=port), None
        server.settimeout(None)
        return None, server

    def _lets_in(self, instance: Json, port: int) -> bool:
        """Whether a rule of the instance's network allows the proxy's addresses; there is no deny rule here."""
        networks = {card["network"] for card in instance["networkInterfaces"]}
        tags = set(instance["tags"].get("items", []))
        for _, rule in self.cloud.state.under("projects", "firewalls"):
            is_for_it = rule["network"] in networks and (not rule.get("targetTags") or tags & set(rule["targetTags"]))
            tcp = [one for one in rule.get("allowed", []) if one["IPProtocol"] in ("tcp", "all")]
            is_port = any(str(port) in one.get("ports", (str(port),)) for one in tcp)
            if is_for_it and is_port and PROXY_RANGE in rule.get("sourceRanges", []):
                return True
        return False
