"""Inventories of hosts that tests reach: a real sshd on loopback, with or without a Google of our own around it."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from tests.support.ssh_server import SshServer

INSTANCE = "8132540987213450000"
GCLOUD = """#!/bin/sh
# The tunnel is real, to this computer; everything else is answered from a table.
case "$*" in
*" start-iap-tunnel "*) echo "$*" >> {folder}/calls.txt; exec {python} {relay} {port} ;;
esac
exec {folder}/replayed "$@"
"""


def host_entry(**changes: Any) -> dict[str, Any]:
    """A host as Pulumi tells of it."""
    base = {
        "kind": "google",
        "name": "axion-dev-main",
        "instance_id": INSTANCE,
        "zone": "us-central1-a",
        "machine_type": "c4a-standard-32",
        "internal_ip": "10.20.0.2",
        "device_paths": {"data": "/dev/disk/by-id/google-axion-data"},
        "data_mount": "/opt/axion",
    }
    return {**base, **changes}


def inventory(**hosts: dict[str, Any]) -> dict[str, Any]:
    """An inventory of these hosts."""
    return {
        "schema": "axion.inventory/2",
        "stack": "dev",
        "google": {
            "project": "a-project",
            "zone": "us-central1-a",
            "secret_ids": {"gateway_api_keys": "projects/a-project/secrets/axion-dev-gateway-api-keys"},
        },
        "hosts": hosts,
    }


def direct(server: SshServer, root: Path, name: str = "main", **changes: Any) -> dict[str, Any]:
    """A host that somebody wrote down: this very sshd."""
    given = {
        "kind": "ssh",
        "name": name,
        "ssh_user": server.user,
        "ssh_address": "127.0.0.1",
        "ssh_port": server.port,
        "known_hosts": str(server.known_hosts),
        "identity_file": str(server.identity),
        "data_mount": str(root),
    }
    return {**given, **changes}


def write(path: Path, data: dict[str, Any]) -> Path:
    path.write_text(json.dumps(data))
    return path


def tunnel_through(server: SshServer, folder: Path) -> None:
    """Make the replayed gcloud of a folder open tunnels as well."""
    program = folder / "gcloud"
    program.rename(folder / "replayed")
    relay = Path(__file__).parent / "fakes" / "relay.py"
    words = {"folder": folder, "python": sys.executable, "relay": relay, "port": server.port}
    program.write_text(GCLOUD.format(**{key: shlex.quote(str(value)) for key, value in words.items()}))
    program.chmod(0o755)
