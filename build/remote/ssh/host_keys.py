"""Which keys prove that a host is the one that is meant; anything else is refused before a byte of ours reaches it.

A cloud host's keys are what its instance published as guest attributes. They are kept in a file named by the instance's
number: a replaced machine is another instance, and so its other keys are expected ones.
"""

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from build.errors import DeployError
from deployment.errors import why
from deployment.problems import shown

# What OpenSSH makes by itself, the best first: the order in which a server is asked to prove itself.
KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """One public key of a host."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        digest = hashlib.sha256(self.blob).digest()
        return f"{self.type} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    @property
    def line(self) -> str:
        return f"{self.type} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKeys:
    """The keys that are accepted, and where they come from."""

    keys: tuple[HostKey, ...]
    source: str
    """As a person would say it, for example `known_hosts`, or the guest attributes of an instance."""
    if_changed: str
    """What to do when the host shows another key."""


def read_guest_attributes(answer: Any) -> tuple[HostKey, ...]:
    """Read what `gcloud compute instances get-guest-attributes --query-path=hostkeys/` printed.

    A value that is not exactly a key of its type is no key: any program on the host can write there.
    """
    items = answer if isinstance(answer, list) else ((answer or {}).get("queryValue") or {}).get("items") or ()
    pairs = ((str(item.get("key", "")), str(item.get("value", ""))) for item in items)
    return _ordered(key for type_, value in pairs if (key := parse_key(type_, value)) is not None)


def parse_key(type_: str, encoded: str) -> HostKey | None:
    """Check one key: a type we know, base64 and nothing else, and a key of that very type inside."""
    if type_ not in KEY_TYPES:
        return None
    try:
        blob = base64.b64decode(encoded.strip(), validate=True)
        paramiko.PKey.from_type_string(type_, blob)
    except (binascii.Error, ValueError, IndexError, paramiko.SSHException):
        return None
    parts = fields(blob)
    return HostKey(type=type_, blob=blob) if parts and parts[0] == type_.encode() else None


def fields(blob: bytes, count: int | None = None) -> list[bytes]:
    """Split a key into its parts, or the first ones, each after its length (RFC 4251); nothing where it is cut off."""
    found: list[bytes] = []
    while blob and len(found) != count:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            return []
        found.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return found


def keys_in_file(path: Path, name: str) -> tuple[HostKey, ...]:
    """Find a host's keys in a known_hosts file, hashed names included. Raises DeployError when it cannot be read."""
    found = paramiko.HostKeys()
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) < 3 or (words[1] in KEY_TYPES and parse_key(words[1], words[2]) is None):
                raise DeployError(f"{path}:{number}: not a host key, got {shown(line)}. Give `address type base64`.")
            if words[1] in KEY_TYPES:
                entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
                for host in entry.hostnames:
                    found.add(host, words[1], entry.key)
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(
            f"{path}: cannot read the known hosts: {why(error)}. Name a file that ssh-keyscan wrote."
        ) from None
    listed = found.lookup(name) or {}
    return _ordered(HostKey(type=type_, blob=listed[type_].asbytes()) for type_ in listed)


def stored_keys(path: Path) -> tuple[HostKey, ...]:
    """Keys kept from an earlier connection; none where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    words = (line.split() for line in lines if not line.startswith("#"))
    return _ordered(key for each in words if len(each) == 2 and (key := parse_key(each[0], each[1])) is not None)


def store_keys(path: Path, keys: Iterable[HostKey], source: str) -> None:
    """Keep keys for the next connection, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(f"# {json.dumps(source)}\n" + "".join(f"{key.line}\n" for key in keys), encoding="utf-8")
    draft.replace(path)


def refusal(host: str, shown: HostKey, known: KnownKeys) -> str:
    """Say which key was expected, where from, which one was shown and what to do."""
    expected = ", ".join(key.fingerprint for key in known.keys)
    if not expected:
        return (
            f"{host}: an unknown host key, got {shown.fingerprint} where {known.source} has none for it. "
            f"{known.if_changed}"
        )
    return (
        f"{host}: not the host key that is expected, got {shown.fingerprint} where {known.source} says {expected}. "
        f"Nothing was sent to it: it may be another machine, or somebody in between. {known.if_changed}"
    )


class Refusal(paramiko.MissingHostKeyPolicy):  # type: ignore[misc] # paramiko ships no types
    """Accepts no host whose key is not known. Fabric's own policy accepts every key."""

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        raise paramiko.BadHostKeyException(hostname, key, key)


def _ordered(keys: Iterable[HostKey]) -> tuple[HostKey, ...]:
    return tuple(sorted(keys, key=lambda key: KEY_TYPES.index(key.type)))
