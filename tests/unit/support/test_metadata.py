"""What a host of a rehearsal finds at its metadata server and at Google's addresses; its scripts are the real ones."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cloud_calls import ZONE, booted, done, get
from tests.support.fakes.cloud.server import Cloud
from tests.support.fakes.metadata import Handler
from tests.support.rehearsal import google, way_out
from tests.support.rehearsal.metadata import Metadata
from tests.support.web import served

AGENT = Path(__file__).parents[3] / "agent"
VM = "projects/axion-test/zones/us-central1-a/instances/vm"
ACCOUNT = "our-host@axion-test.iam.gserviceaccount.com"
GUEST = {"Metadata-Flavor": "Google"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A host's two neighbours, on loopback."""

    about: Metadata
    metadata: str
    google: str

    def ask(self, method: str, key: str, body: str = "", headers: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.metadata.removeprefix("http://"), timeout=10)
        connection.request(method, f"/computeMetadata/v1/{key}", body, GUEST if headers is None else headers)
        response = connection.getresponse()
        answer = response.status, response.read().decode()
        connection.close()
        return answer


@pytest.fixture
def around(cloud: Cloud) -> Iterator[Surroundings]:
    items = {"enable-guest-attributes": "TRUE", "startup-script": "#!/bin/bash\n", "axion-idle-stop-minutes": "30"}
    done(cloud, "POST", "/v1/projects/axion-test/serviceAccounts", {"accountId": "our-host"})
    booted(
        cloud,
        metadata={"items": [{"key": key, "value": value} for key, value in items.items()]},
        serviceAccounts=[{"email": ACCOUNT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}],
    )
    about = Metadata(cloud, VM)
    with served(Handler, metadata=about) as own, served(google.Handler, metadata=about) as googles:
        yield Surroundings(about, own, googles)
        about.closing.set()


def test_a_host_reads_of_itself_what_the_cloud_says_at_that_moment(cloud: Cloud, around: Surroundings) -> None:
    assert around.ask("GET", "instance/attributes/startup-script") == (200, "#!/bin/bash\n")
    assert around.ask("GET", "instance/attributes/") == (
        200,
        "axion-idle-stop-minutes\nenable-guest-attributes\nstartup-script\n",
    )
    assert around.ask("GET", "instance/name") == (200, "vm")
    assert around.ask("GET", "instance/zone") == (200, "projects/123456789012/zones/us-central1-a")
    assert around.ask("GET", "project/project-id") == (200, "axion-test")
    assert around.ask("GET", "instance/id") == (200, get(cloud, f"{ZONE}/instances/vm")["id"])
    assert around.ask("GET", "instance/service-accounts/default/email") == (200, ACCOUNT)
    assert around.ask("GET", "instance/attributes/other")[0] == 404
    fingerprint = get(cloud, f"{ZONE}/instances/vm")["metadata"]["fingerprint"]
    changed = {"items": [{"key": "axion-idle-stop-minutes", "value": "60"}], "fingerprint": fingerprint}
    done(cloud, "POST", f"{ZONE}/instances/vm/setMetadata", changed)
    assert around.ask("GET", "instance/attributes/axion-idle-stop-minutes") == (200, "60")


@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "other"}, {**GUEST, "X-Forwarded-For": "203.0.113.1"}])
def test_what_a_browser_or_a_proxy_could_send_is_refused(around: Surroundings, headers: dict[str, str]) -> None:
    assert around.ask("GET", "instance/name", headers=headers)[0] == 403
    assert around.ask("PUT", "instance/guest-attributes/hostkeys/ssh-rsa", "AAAA", headers)[0] == 403


def test_what_a_host_publishes_is_read_by_who_asks_the_cloud(cloud: Cloud, around: Surroundings) -> None:
    assert around.ask("PUT", "instance/guest-attributes/hostkeys/ssh-ed25519", "AAAAC3Nz") == (200, "")
    answer = get(cloud, f"{ZONE}/instances/vm/getGuestAttributes?queryPath=hostkeys/")
    assert answer["queryValue"]["items"] == [{"namespace": "hostkeys", "key": "ssh-ed25519", "value": "AAAAC3Nz"}]
    assert around.ask("GET", "instance/guest-attributes/hostkeys/ssh-ed25519") == (200, "AAAAC3Nz")
    assert around.ask("PUT", "instance/guest-attributes/no-namespace", "x")[0] == 400


def test_an_instance_without_guest_attributes_publishes_nothing(cloud: Cloud, around: Surroundings) -> None:
    for item in cloud.state.resources[VM]["metadata"]["items"]:
        item["value"] = "FALSE"
    assert around.ask("PUT", "instance/guest-attributes/hostkeys/ssh-rsa", "AAAA")[0] == 403
    assert "hostkeys/ssh-rsa" not in cloud.state.guest_attributes[VM]


def test_who_waits_for_a_change_is_answered_when_it_comes_or_when_the_time_is_over(around: Surroundings) -> None:
    began = time.monotonic()
    query = "wait_for_change=true&timeout_sec"
    assert around.ask("GET", f"instance/preempted?{query}=1") == (200, "FALSE")
    assert 0.9 < time.monotonic() - began < 5
    threading.Timer(0.3, lambda: setattr(around.about, "is_preempted", True)).start()
    assert around.ask("GET", f"instance/preempted?{query}=20") == (200, "TRUE")
    assert around.ask("GET", f"instance/preempted?{query}=20&last_etag=0") == (200, "TRUE")
    assert time.monotonic() - began < 8


def idle_stop(around: Surroundings, folder: Path, token: str | None = None) -> "subprocess.CompletedProcess[str]":
    """The host's own script; `systemctl` only writes down what it was asked for."""
    told = folder / "systemctl"
    told.write_text('#!/bin/sh\necho "systemctl $*"\n')
    told.chmod(0o755)
    (folder / "idle.json").write_text(json.dumps({"used_s": -1e9, "requests": None}))
    if token is not None:
        around.about.token = token
    return subprocess.run(
        [
            *(sys.executable, "-I", AGENT / "idle_stop.py", "--root", folder, "--run", folder, "--terminals", folder),
            *("--metadata", f"{around.metadata}/computeMetadata/v1"),
            *("--compute", f"{around.google}/compute/v1"),
        ],
        capture_output=True, text=True, timeout=30, check=True, env={"PATH": f"{folder}:/usr/bin:/bin"},
    )  # fmt: skip


def test_a_host_stops_itself_by_its_own_token_if_iam_lets_it(
    cloud: Cloud, around: Surroundings, tmp_path: Path
) -> None:
    refused = idle_stop(around, tmp_path)
    assert "systemctl poweroff" in refused.stdout
    assert "403" in refused.stderr
    assert get(cloud, f"{ZONE}/instances/vm")["status"] == "RUNNING"
    role = {"roleId": "stop", "role": {"includedPermissions": ["compute.instances.stop"], "title": "stop"}}
    done(cloud, "POST", "/v1/projects/axion-test/roles", role)
    binding = {"role": "projects/axion-test/roles/stop", "members": [f"serviceAccount:{ACCOUNT}"]}
    cloud.state.policies[VM] = {"version": 1, "bindings": [binding]}
    stopped = idle_stop(around, tmp_path)
    assert "poweroff" not in stopped.stdout
    assert get(cloud, f"{ZONE}/instances/vm")["status"] == "TERMINATED"


def test_a_token_of_somebody_else_is_no_token(around: Surroundings) -> None:
    path = "/compute/v1/projects/axion-test/zones/us-central1-a/instances/vm/stop"
    assert google.refusal(around.about, "POST", path, "Bearer ya29.other") == (
        401,
        "Request had invalid authentication credentials.",
    )
    mine = f"Bearer {around.about.token}"
    assert (google.refusal(around.about, "POST", path.replace("/vm/", "/other/"), mine) or (0, ""))[0] == 403
    assert (google.refusal(around.about, "POST", path.replace("/stop", "/delete"), mine) or (0, ""))[0] == 403


def test_there_is_a_way_out_where_the_stack_made_one_for_https_and_http(cloud: Cloud, around: Surroundings) -> None:
    def answer(target: str, verb: str = "CONNECT") -> int:
        with served(way_out.Handler, metadata=around.about) as url:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
            connection.request(verb, target)
            status = connection.getresponse().status
            connection.close()
            return status

    page = "http://localhost.invalid/page"
    assert (answer("localhost.invalid:443"), answer(page, "GET")) == (403, 403)
    router = {"name": "router", "network": "global/networks/net", "nats": [{"name": "nat"}]}
    cloud.state.resources["projects/axion-test/regions/us-central1/routers/router"] = router
    assert (answer("localhost.invalid:443"), answer(page, "GET")) == (502, 502)  # it tried: there is no such place
    assert (answer("localhost.invalid:22"), answer("http://localhost.invalid:81/", "GET")) == (403, 403)
