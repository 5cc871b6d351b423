"""The private key of a login, read before anything is connected: what is wrong with the file is known here already."""

import base64
from pathlib import Path

import paramiko

from build.errors import DeployError
from build.remote.ssh.host_keys import fields

MAGIC = b"openssh-key-v1\0"
PUBLIC = ("ssh-", "ecdsa-", "sk-", "---- BEGIN SSH2 PUBLIC KEY", "-----BEGIN PUBLIC KEY")
BYTES_MAX = 65536
OTHER_KINDS = ("UnsupportedAlgorithm", "UnknownKeyType")
"""What paramiko, and its cryptography, which is not ours to import, raise for a hardware token's key, or DSA."""


def load_key(path: Path) -> paramiko.PKey:
    """Read a private key; one that is locked may be in an agent. Raises DeployError with the cause and the cure."""
    data = _read(path)
    text = data.decode("utf-8", "replace").lstrip()
    if text.startswith(PUBLIC):
        raise _problem(path, "a public key", "Name the private one, whose file ends without `.pub`")
    if text.startswith("PuTTY-User-Key-File"):
        raise _problem(path, "PuTTY's format", f"Convert it: `puttygen {path} -O private-openssh -o NEW`, and name NEW")
    try:
        return paramiko.PKey.from_path(path)
    except (TypeError, paramiko.PasswordRequiredException):  # cryptography raises TypeError where a password is needed
        return _unlocked(path, data)
    except (ValueError, paramiko.SSHException) as error:
        if "PRIVATE KEY-----" not in text:
            raise _problem(path, "no private key", "Make one with `ssh-keygen`, or correct identity_file") from None
        if isinstance(error, paramiko.SSHException):  # PKCS #8, which OpenSSH reads and paramiko does not
            raise _problem(path, "another format", f"Convert a copy of it: `ssh-keygen -p -f {path}`") from None
        raise _problem(path, "a damaged private key", "Copy it anew, all of its lines") from None
    except Exception as error:
        if type(error).__name__ not in OTHER_KINDS:
            raise
        raise _problem(path, "a key of another kind", "Make an ed25519, ECDSA or RSA key: `ssh-keygen`") from None


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            kind = "a directory" if path.is_dir() else "no regular file"
            raise _problem(path, kind, "Name the private key itself: correct identity_file in the inventory")
        with path.open("rb") as file:
            return file.read(BYTES_MAX)
    except FileNotFoundError:
        what = f"{path}: no such key file"
        raise DeployError(f"{what}. Correct identity_file in the inventory.") from None
    except PermissionError:
        raise _problem(path, "no right to read it", f"Own it: `ls -l {path}` shows whose it is") from None
    except OSError as error:
        raise _problem(path, error.strerror or str(error), "Correct identity_file in the inventory") from None


def _unlocked(path: Path, data: bytes) -> paramiko.PKey:
    """Find a key that is locked by a passphrase in the agent."""
    public = _public_half(path, data)
    for key in paramiko.Agent().get_keys():
        if key.asbytes() == public:
            return key
    what = f"{path}: the key is locked by a passphrase: none of that kind from an agent"
    raise DeployError(f"{what}. Unlock it for an agent: `ssh-add {path}`.")


def _public_half(path: Path, data: bytes) -> bytes | None:
    """Read it from OpenSSH's format, where it is never locked, else from the file beside it."""
    try:
        if b"OPENSSH" not in data:
            return base64.b64decode(path.with_name(f"{path.name}.pub").read_text().split()[1])
        body = base64.b64decode(b"".join(line for line in data.splitlines() if b"-----" not in line))
        cipher = fields(
            body[len(MAGIC) :], 3
        )  # its name, the key derivation's, its options; then a count (PROTOCOL.key)
        return fields(body[len(MAGIC) + sum(4 + len(each) for each in cipher) + 4 :], 1)[0]
    except (OSError, ValueError, IndexError):
        return None


def _problem(path: Path, got: str, step: str) -> DeployError:
    return DeployError(f"{path}: no key to log in with, got {got}. {step}.")
