"""Credentials of a job: where they come from, and that they are nowhere else."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from agent.protocol import FromCaller
from build.remote.agent import archive, archive_name
from build.remote.host import Host
from build.remote.jobs import run_job
from tests.support.jobs import UNIT, a_job, step


def test_a_credential_is_a_file_of_the_unit_and_nowhere_else(systemd_host: Host, tmp_path: Path) -> None:
    code = (
        "import os; place = os.path.join(os.environ['CREDENTIALS_DIRECTORY'], 'hub_token')\n"
        "print(len(open(place).read()), 'planted' in str(dict(os.environ)))"
    )
    job = a_job(step(code), credentials={"hub_token": FromCaller(value="planted-3f")})
    assert run_job(systemd_host, job)[0].stdout == "10 False\n"
    options = (tmp_path / "bin" / "units" / "axion-work-test.options").read_text()
    assert f"--property=LoadCredential=hub_token:{tmp_path}/bin/run/credentials-{UNIT}/hub_token" in options
    holding = [path.name for path in tmp_path.rglob("*") if path.is_file() and b"planted-3f" in path.read_bytes()]
    assert holding == ["hub_token"], "the unit's own copy, which systemd keeps in memory"
    assert sorted(path.name for path in (tmp_path / "bin" / "run").iterdir()) == ["awake"]


class Google(http.server.BaseHTTPRequestHandler):
    """A metadata server and Secret Manager in one, as strict as both about who asks."""

    def do_GET(self) -> None:
        asked = (self.path, self.headers.get("Metadata-Flavor"), self.headers.get("Authorization"))
        answers: dict[Any, Any] = {
            ("/instance/service-accounts/default/token", "Google", None): {"access_token": "ya29.x"},
            ("/projects/p/secrets/s/versions/latest:access", None, "Bearer ya29.x"): {
                "payload": {"data": "cGxhbnRlZAo="}
            },
        }
        body = json.dumps(answers.get(asked, {})).encode()
        self.send_response(200 if asked in answers else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_secret_is_read_on_the_host_as_its_service_account(tmp_path: Path) -> None:
    packed = tmp_path / archive_name()
    packed.write_bytes(archive())
    with http.server.HTTPServer(("127.0.0.1", 0), Google) as google:
        threading.Thread(target=google.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{google.server_port}"

        def read(name: str) -> "subprocess.CompletedProcess[str]":
            asked = f"print(read_secret({name!r}, metadata={url!r}, secret_manager={url!r}))"
            code = f"import sys; sys.path.insert(0, {str(packed)!r}); from agent.secrets import read_secret; {asked}"
            return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)

        found, missing = read("projects/p/secrets/s"), read("projects/p/secrets/none")
        google.shutdown()
    assert (found.stdout, found.stderr) == ("planted\n", "")
    assert missing.returncode == 1
    assert missing.stderr == (
        "projects/p/secrets/none: the secret cannot be read: 404 Not Found. "
        "Add its value: `gcloud secrets versions add` with that name.\n"
    )
