"""What an instance can ask about itself at 169.254.169.254, answered from the cloud's memory at that moment."""

import json
import secrets
import threading
import time

from tests.support.fakes.cloud.server import Cloud
from tests.support.fakes.metadata import WAIT_S, tag

ADDRESS, PORT = "169.254.169.254", 80
LOOK_S = 0.1
PUBLISHED = "instance/guest-attributes/"
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
            **{f"{PUBLISHED}{key}": value for key, value in published.items()},
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
        if not key.startswith(PUBLISHED):
            return 405
        key = key.removeprefix(PUBLISHED)
        if key.count("/") != 1 or not all(key.split("/")):
            return 400
        with self.cloud.state.lock:
            if (self._values().get("instance/attributes/enable-guest-attributes") or "").upper() != "TRUE":
                return 403
            self.cloud.state.guest_attributes.setdefault(self.path, {})[key] = value
        return 200
