"""How a person gets to a host of the rehearsal: OpenSSH through the tunnel, with the keys that the host published."""

import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.rehearsal.guest_files import USER
from tests.support.rehearsal.world import World
from tests.support.web import free_port

BOOT_S = 120.0
ANSWER_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """To one instance of the rehearsal's cloud."""

    world: World
    instance: str

    @property
    def path(self) -> str:
        return f"projects/{self.world.cloud.state.settings.project}/zones/us-central1-a/instances/{self.instance}"

    @property
    def status(self) -> str:
        """What the cloud says of the instance."""
        state = self.world.cloud.state
        with state.lock:
            state.advance()
            return str(state.resources.get(self.path, {}).get("status", "gone"))

    def wait_for_keys(self) -> None:
        """Wait for the end of the startup script's first half: its host keys."""
        deadline = time.monotonic() + BOOT_S
        while not self._keys() and time.monotonic() < deadline:
            time.sleep(0.2)

    def _keys(self) -> dict[str, str]:
        with self.world.cloud.state.lock:
            published = self.world.cloud.state.guest_attributes.get(self.path, {})
            return {key.removeprefix("hostkeys/"): value for key, value in published.items() if "hostkeys/" in key}

    def ssh(self, *words: str) -> tuple[str, ...]:
        """OpenSSH's command line; `words` are further options, or what to run."""
        known = self.world.folder / "known_hosts"
        known.write_text("".join(f"{self.instance} {kind} {key}\n" for kind, key in self._keys().items()))
        settings, home = self.world.cloud.state.settings, Path(self.world.environment["HOME"])
        tunnel = f"gcloud compute start-iap-tunnel {self.instance} 22 --listen-on-stdin --project={settings.project}"
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(known),
            "GlobalKnownHostsFile": "/dev/null",
            "IdentityFile": str(home / ".ssh" / "id_ed25519"),
            "ProxyCommand": f"{tunnel} --zone=us-central1-a --verbosity=warning",
            "ExitOnForwardFailure": "yes",
        }
        given = (word for key, value in options.items() for word in ("-o", f"{key}={value}"))
        return ("ssh", "-F", "none", *given, *words)

    def run(self, script: str, timeout_s: float = 60.0) -> str:
        """Run a shell script as root on the host; it has to succeed."""
        command = self.ssh(f"{USER}@{self.instance}", "sudo", "-n", "bash", "-eu")
        done = subprocess.run(
            command,
            input=script, capture_output=True, text=True, timeout=timeout_s, check=False, env=self.world.environment,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def forwarded(self, port: int) -> Iterator[int]:
        """A port of this computer that leads to one of the host, as the stack's last output says to do it."""
        here = free_port()
        words = self.ssh("-N", "-L", f"127.0.0.1:{here}:localhost:{port}", f"{USER}@{self.instance}")
        tunnel = subprocess.Popen(words, env=self.world.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            yield here
        finally:
            tunnel.terminate()
            tunnel.communicate()


def ask(port: int, model: str, question: str, within_s: float = ANSWER_S) -> str:
    """Ask the gateway behind a port; until `within_s` whatever may come up later is tried again."""
    deadline = time.monotonic() + within_s
    while True:
        problem, answer = _ask_once(port, model, question)
        if problem is None:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{model}: no answer within {within_s:g} s: {problem}")
        time.sleep(0.5)


def _ask_once(port: int, model: str, question: str) -> tuple[str | None, str]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        text = json.dumps({**body, "temperature": 0, "max_tokens": 24})
        connection.request("POST", "/v1/chat/completions", text, {"Content-Type": "application/json"})
        response = connection.getresponse()
        said = response.read().decode(errors="replace")
        if response.status != 200:
            return f"{response.status} {said[:300]}", ""
        return None, str(json.loads(said)["choices"][0]["message"]["content"])
    except (OSError, http.client.HTTPException) as error:
        return repr(error), ""
    finally:
        connection.close()
