"""Read Secret Manager as this machine's service account, and hand values to a unit as systemd credentials.

As a program, `agent.secrets SOURCE FILE USER`, what gateway-keys.service runs: read the keys that clients must send,
from a secret or a file of the host, and put their digests into a file that only the gateway's user can read.
"""

import base64
import json
import os
import pwd
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.client_keys import digests, key_list

METADATA = "http://metadata.google.internal/computeMetadata/v1"
SECRET_MANAGER = "https://secretmanager.googleapis.com/v1"  # noqa: S105 - an address
ADVICE = {
    403: "Grant roles/secretmanager.secretAccessor on it to the host's service account: `pulumi up` does.",
    404: "Add its value: `gcloud secrets versions add` with that name.",
}


def read_secret(name: str, *, metadata: str = METADATA, secret_manager: str = SECRET_MANAGER) -> str:
    """Return the newest version of a secret. Ends the program with a sentence when it cannot be read."""
    token = ask(f"{metadata}/instance/service-accounts/default/token", {"Metadata-Flavor": "Google"}, name)
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    answer = ask(f"{secret_manager}/{name}/versions/latest:access", bearer, name)
    return base64.b64decode(answer["payload"]["data"]).decode().strip()


def ask(address: str, headers: Mapping[str, str], name: str) -> Any:
    request = urllib.request.Request(address, headers=dict(headers))  # noqa: S310 - fixed addresses
    # The metadata server is the machine's own, whatever proxy leads elsewhere; plain HTTP is for it alone.
    direct = [urllib.request.ProxyHandler({})] if address.startswith("http:") else []
    try:
        with urllib.request.build_opener(*direct).open(request, timeout=20) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        advice = ADVICE.get(error.code, "Try again later.")
        sys.exit(f"{name}: the secret cannot be read: {error.code} {error.reason}. {advice}")
    except (OSError, ValueError) as error:
        sys.exit(f"{name}: the secret cannot be read from this host: {error}. Is it a Google Cloud instance?")


@contextmanager
def vault(directory: Path, values: Mapping[str, str]) -> Iterator[list[str]]:
    """Keep values in memory-backed files for as long as systemd needs to read them; yields unit properties."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        for name, value in values.items():
            with os.fdopen(os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(value)
        yield [f"LoadCredential={name}:{directory / name}" for name in values]
    finally:
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()


OWN_KEY = "gateway-own-key"
OWN_NAME = "fab"
"""What the host itself uses counts under this name."""
PLAIN_KEYS = "gateway-keys"
"""Where releases before had every key as it is. Their gateways keep what they have when it goes."""
PROBLEMS = ".problems"
"""As gateway/keys.py looks for it."""


def install_keys(source: str, file: Path, user: str) -> None:
    """Replace a file in one step; a list that cannot be read, has a mistake or no key leaves the one of before."""
    refused = file.with_name(file.name + PROBLEMS)
    refused.unlink(missing_ok=True)  # it is about a list of before
    try:
        text = Path(source).read_text(encoding="utf-8") if source.startswith("/") else read_secret(source)
        account = pwd.getpwnam(user)
    except UnicodeDecodeError as error:
        sys.exit(f"{source}: not UTF-8 at byte {error.start + 1}. Give a file of lines, one key each.")
    except OSError as error:
        sys.exit(f"{source}: cannot be read: {error.strerror or error}. Give a file of lines, one key each.")
    except (ValueError, KeyError) as error:
        sys.exit(f"{source}: cannot be read for {user}: {error}. Give a file of lines, one key each.")
    found = key_list(text)
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    problems = [f"{source}: {problem}" for problem in found.problems]
    if not problems and not found.keys:
        problems = [f"{source}: holds no key. Give one key a line."]
    if problems:
        put(refused, "\n".join(problems) + "\n", account.pw_uid, account.pw_gid)
        sys.exit("\n".join(problems))
    for warning in found.warnings:
        print(f"{source}: {warning}", file=sys.stderr)
    put(file, digests(text) + own_line(file.with_name(OWN_KEY)), account.pw_uid, account.pw_gid)
    file.with_name(PLAIN_KEYS).unlink(missing_ok=True)


def own_line(file: Path) -> str:
    """Return the line of the host's own key, with which `fab` asks: nobody knows a client's key from its digest.

    It is the same until the next boot, so that no gateway is asked with one that it has not read yet.
    """
    if not file.is_file():
        put(file, secrets.token_urlsafe(32) + "\n", os.getuid(), os.getgid())
    return digests(f"{file.read_text(encoding='utf-8').strip()} name={OWN_NAME}")


def put(file: Path, text: str, uid: int, gid: int) -> None:
    """Replace a file that one user can read, in one step."""
    draft = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        os.fchown(out.fileno(), uid, gid)
        out.write(text)
    draft.replace(file)


if __name__ == "__main__":
    install_keys(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
