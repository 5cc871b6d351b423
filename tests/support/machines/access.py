"""How to log in to a host of ours: keys made for it, written into it before it boots, and an inventory that says so."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.arm.host import run

SSHD = """Port {port}
ListenAddress {address}
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Keys in a directory of the host's, and where its sshd listens."""

    directory: Path
    port: int
    address: str = "127.0.0.1"

    @property
    def identity(self) -> Path:
        return self.directory / "identity"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def make(self) -> None:
        """Make both keys, once."""
        for name in ("identity", "host_key"):
            if not (self.directory / name).exists():
                key = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.directory / name)
                run(*key, what=f"make {name}")
        public = (self.directory / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[{self.address}]:{self.port} {' '.join(public)}\n")

    def install(self, root: Path) -> None:
        """Let root, who deploys, log in with the key, and have sshd show the host's own."""
        ssh, home = root / "etc" / "ssh", root / "root" / ".ssh"
        home.mkdir(mode=0o700, exist_ok=True)
        (home / "authorized_keys").write_bytes((self.directory / "identity.pub").read_bytes())
        (ssh / "sshd_config.d" / "host.conf").write_text(SSHD.format(port=self.port, address=self.address))
        for name, mode in (("ssh_host_ed25519_key", 0o600), ("ssh_host_ed25519_key.pub", 0o644)):
            path = ssh / name
            path.write_bytes((self.directory / name.replace("ssh_host_ed25519_key", "host_key")).read_bytes())
            path.chmod(mode)

    @property
    def options(self) -> tuple[str, ...]:
        """Options of OpenSSH's client; nothing of the caller's own configuration counts."""
        given = {
            "BatchMode": "yes",
            "ConnectTimeout": "5",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "IdentityFile": self.identity,
            "IdentitiesOnly": "yes",
            "Port": self.port,
        }
        words = (word for key, value in given.items() for word in ("-o", f"{key}={value}"))
        return ("-F", "none", *words)

    def command(self, *words: str) -> tuple[str, ...]:
        """Log in as a person would, and run something."""
        return ("ssh", *self.options, f"root@{self.address}", *words)

    def answers(self) -> bool:
        """Whether somebody can log in now."""
        return subprocess.run(self.command("true"), capture_output=True, check=False).returncode == 0

    def write_inventory(self, path: Path, name: str, **changes: object) -> Path:
        """Write the inventory of this one host, as a person would by hand."""
        host = {
            "kind": "ssh",
            "name": name,
            "ssh_user": "root",
            "data_mount": "/opt/axion",
            "ssh_address": self.address,
            "ssh_port": self.port,
            "known_hosts": str(self.known_hosts),
            "identity_file": str(self.identity),
        }
        inventory = {"schema": "axion.inventory/2", "stack": "hosts", "hosts": {name: {**host, **changes}}}
        path.write_text(json.dumps(inventory, indent=1) + "\n")
        return path
