"""Google's own addresses as a host reaches them: over TLS, with its instance's token, and no more than IAM allows.

The scripts on a host are the real ones, with the real addresses in them. So these names lead here inside a host, and
the certificate is one that it trusts.
"""

import json
import ssl
from pathlib import Path
from typing import Any, ClassVar

from tests.support import web
from tests.support.arm.host import run
from tests.support.rehearsal.metadata import Metadata

ADDRESS, PORT = "169.254.169.253", 443
NAMES = tuple(f"{api}.googleapis.com" for api in ("compute", "monitoring", "secretmanager", "storage"))
Json = dict[str, Any]


class Certificate:
    """One certificate for all names, trusted by whoever is given its file."""

    def __init__(self, folder: Path) -> None:
        self.file, self.key = folder / "google.pem", folder / "google.key"

    def make(self) -> None:
        names = ",".join(f"DNS:{name}" for name in NAMES)
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *("-days", "2", "-subj", "/CN=stand-in for Google", "-addext", f"subjectAltName={names}"),
            *("-keyout", self.key, "-out", self.file),
            what="make a certificate",
        )

    @property
    def name(self) -> str:
        """What OpenSSL looks for among the certificates that it trusts."""
        shown = run("openssl", "x509", "-noout", "-hash", "-in", self.file, what="name a certificate")
        return f"{shown.stdout.strip()}.0"

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


def refusal(metadata: Metadata, method: str, path: str, authorization: str) -> tuple[int, str] | None:
    """Why a host may not do this; None where it may. Only what changes an instance is judged by IAM."""
    if authorization != f"Bearer {metadata.token}":
        return 401, "Request had invalid authentication credentials."
    if method == "GET" or "/instances/" not in path:
        return None
    target, _, verb = path.removeprefix("/compute/v1/").rpartition("/")
    permission = f"compute.instances.{verb}"
    state = metadata.cloud.state
    with state.lock:
        account = (state.resources.get(metadata.path, {}).get("serviceAccounts") or [{}])[0].get("email")
        granted = (
            allowed
            for binding in state.policies.get(target, {}).get("bindings", [])
            if f"serviceAccount:{account}" in binding["members"]
            for allowed in state.resources.get(binding["role"], {}).get("includedPermissions", [])
        )
        if permission in granted:
            return None
    return 403, f"Required '{permission}' permission for '{target}'"


class Handler(web.Handler):
    """Passes on what is allowed."""

    protocol_version = "HTTP/1.1"
    metadata: ClassVar[Metadata]

    def _serve(self) -> None:
        raw = self.body()
        path, _, _ = self.path.partition("?")
        refused = refusal(self.metadata, self.command, path, self.headers.get("Authorization", ""))
        answer: Json
        if refused is not None:
            status, message = refused
            answer = {"error": {"code": status, "message": message, "errors": []}}
        elif path.endswith("/timeSeries"):
            status, answer = 200, {}  # the figures themselves are what tests/unit/agent/test_idle_stop.py is about
        else:
            status, answer = self.metadata.cloud.answer(self.command, self.path, json.loads(raw) if raw else {})
        self.answer(status, answer, {"Content-Type": "application/json; charset=UTF-8"})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815, the library's names
