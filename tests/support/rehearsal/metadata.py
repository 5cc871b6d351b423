"""What an instance can ask about itself at 169.254.169.254, answered from the cloud's memory at that moment."""

import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.support.fakes.cloud.server import Cloud

ADDRESS, PORT = "169.254.169.254", 80
ROOT = "/computeMetadata/v1/"
LOOK_S = 0.1
WAIT_S = 600.0
"""How long a question waits for a change at most, whatever it asks for."""
TOKEN_S = 3599


class Metadata:
    """One instance, as its metadata server sees it."""

    def __init__(self, cloud: Cloud, path: str) -> None:
        self.cloud, self.path = cloud, path
        self.is_preempted = False
        self.token = f"ya29.{secrets.token_urlsafe(24)}"
        self.closing = threading.Event()

    def get(self, key: str) -> str | None:
        """One value; None for what there is not."""
        with self.cloud.state.lock:
            values = self._values()
        if key.endswith("/"):
            listed = {name.removeprefix(key).partition("/")[0] for name in values if name.startswith(key)}
            return "".join(f"{name}\n" for name in sorted(listed)) or None
        return values.get(key)

    def _values(self) -> dict[str, str]:
        settings, instance = self.cloud.state.settings, self.cloud.state.resources.get(self.path)
        if instance is None:
            return {}
        zone, shape = (instance[key].rpartition("/")[2] for key in ("zone", "machineType"))
        items = {item["key"]: item.get("value", "") for item in instance["metadata"]["items"]}
        grant = {"access_token": self.token, "expires_in": TOKEN_S, "token_type": "Bearer"}
        published = self.cloud.state.guest_attributes.get(self.path, {})
        return {
            "project/project-id": settings.project,
            "project/numeric-project-id": settings.number,
            "instance/id": instance["id"],
            "instance/name": instance["name"],
            "instance/hostname": f"{instance['name']}.{zone}.c.{settings.project}.internal",
            "instance/zone": f"projects/{settings.number}/zones/{zone}",
            "instance/machine-type": f"projects/{settings.number}/machineTypes/{shape}",
            "instance/preempted": "TRUE" if self.is_preempted else "FALSE",
            "instance/service-accounts/default/token": json.dumps(grant),
            "instance/service-accounts/default/email": (instance.get("serviceAccounts") or [{"email": ""}])[0]["email"],
            **{f"instance/attributes/{key}": value for key, value in items.items()},
            **{f"instance/guest-attributes/{key}": value for key, value in published.items()},
        }

    def wait(self, key: str, known: str | None, timeout_s: float) -> str | None:
        """The value once it is another than the one whose tag is known, or as it is when the time is over."""
        known = known or tag(self.get(key))
        deadline = time.monotonic() + min(timeout_s, WAIT_S)
        while tag(value := self.get(key)) == known and time.monotonic() < deadline:
            if self.closing.wait(LOOK_S):
                break
        return value

    def publish(self, key: str, value: str) -> int:
        """Keep a guest attribute, if the instance may have any. The answer is HTTP's."""
        if key.count("/") != 1 or not all(key.split("/")):
            return 400
        with self.cloud.state.lock:
            if (self._values().get("instance/attributes/enable-guest-attributes") or "").upper() != "TRUE":
                return 403
            self.cloud.state.guest_attributes.setdefault(self.path, {})[key] = value
        return 200


def tag(value: str | None) -> str:
    """Google tags each value, so that waiting can start from the one that is known."""
    return hashlib.sha256((value or "").encode()).hexdigest()[:16]


class Handler(BaseHTTPRequestHandler):
    """Google's rules of asking: a header that no browser sends, and no forwarding."""

    protocol_version = "HTTP/1.1"
    metadata: ClassVar[Metadata]

    def do_GET(self) -> None:
        key, query = self._asked()
        if not self._is_allowed():
            return
        if query.get("wait_for_change") == "true":
            value = self.metadata.wait(key, query.get("last_etag"), float(query.get("timeout_sec", WAIT_S)))
        else:
            value = self.metadata.get(key)
        self._answer(404 if value is None else 200, value or "")

    def do_PUT(self) -> None:
        key, _ = self._asked()
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if not self._is_allowed():
            return
        inner = "instance/guest-attributes/"
        self._answer(self.metadata.publish(key.removeprefix(inner), text) if key.startswith(inner) else 405)

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return parts.path.removeprefix(ROOT), query

    def _is_allowed(self) -> bool:
        is_allowed = self.headers.get("Metadata-Flavor") == "Google" and "X-Forwarded-For" not in self.headers
        if not is_allowed:
            self._answer(403)
        return is_allowed

    def _answer(self, status: int, text: str = "") -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("ETag", tag(text))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002, the library's name
        """Say nothing."""
