"""A project of Google's with one instance: gcloud's answers are replayed, tunnel and sshd are real."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.cloud.gcloud import Gcloud
from build.cloud.instance import Instance
from build.remote.executor import LocalExecutor
from deployment.stack.inventory import GoogleHost
from tests.support.replayed_gcloud import Answer, ReplayedGcloud, refuses, says
from tests.support.ssh_inventory import INSTANCE, host_entry
from tests.support.ssh_server import SshServer

WORDS = "--stack dev --host main"
AT = "--project=a-project --zone=us-central1-a"
RUNNING = {"id": INSTANCE, "status": "RUNNING", "lastStartTimestamp": "2026-01-31T12:00:00.000-08:00"}
NO_KEYS = refuses(
    "get-guest-attributes", "ERROR: (gcloud.compute.instances.get-guest-attributes) Could not fetch resource:\n"
    " - The resource 'hostkeys/' of type 'Guest Attribute' was not found.\n",
)  # fmt: skip


@dataclass(frozen=True)
class Google:
    """A project with one instance, whose sshd is real."""

    server: SshServer
    gcloud: ReplayedGcloud
    folder: Path

    def host(self, **changes: Any) -> Instance:
        given = {"identity_file": str(self.server.identity), **changes}
        host = GoogleHost.model_validate(host_entry(**given))
        return Instance(
            gcloud=Gcloud(LocalExecutor(), "a-project"), host=host, key_directory=self.folder / "keys", words=WORDS
        )

    def keys(self) -> Answer:
        type_, value = self.server.public_key.split()
        return says("get-guest-attributes", [{"key": type_, "namespace": "hostkeys", "value": value}])

    def profile(self) -> Answer:
        return says("describe-profile", {"posixAccounts": [{"username": self.server.user, "primary": True}]})

    def answers(self, *first: Answer) -> None:
        self.gcloud.answers(*first, says("instances describe", RUNNING), self.keys(), self.profile())
