"""Read Secret Manager as this machine's service account, and hand values to a unit as systemd credentials.

As a program, `secrets.py SOURCE FILE USER`, what gateway-keys.service runs: put the keys that clients must send, from
a secret or a file of the host, into a file that only the gateway's user can read.
"""

import base64
import json
import os
import pwd
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def install_keys(source: str, file: Path, user: str) -> None:
    """Replace a file in one step; nothing is written while the source cannot be read, or holds no key."""
    try:
        text = Path(source).read_text(encoding="utf-8") if source.startswith("/") else read_secret(source)
        account = pwd.getpwnam(user)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{source}: cannot be read for {user}: {error}. Give a file of lines, one key each.")
    if not text.strip():
        sys.exit(f"{source}: holds no key. Give one key a line.")
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        os.fchown(out.fileno(), account.pw_uid, account.pw_gid)
        out.write(text.strip() + "\n")
    draft.replace(file)


if __name__ == "__main__":
    install_keys(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
