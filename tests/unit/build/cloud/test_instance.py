"""Reaching an instance of Google's: its state first, its keys by its number, OS Login's name, a tunnel."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.cloud.instance import Instance
from build.errors import DeployError
from build.progress import Reporter
from build.remote.command import Command
from build.remote.ssh.connection import NotYet, connect, tunnel_argv
from build.remote.ssh.connector import Connector
from build.remote.ssh.executor import SshExecutor
from tests.support.gcloud_on_cloud import fab, need_gcloud
from tests.support.google_host import AT, NO_KEYS, RUNNING, Google
from tests.support.host_directory import host_directory
from tests.support.replayed_gcloud import Answer, ReplayedGcloud, refuses, says
from tests.support.ssh_inventory import INSTANCE, host_entry, inventory, tunnel_through
from tests.support.ssh_server import ssh_server


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    folder = tmp_path / "bin"
    gcloud = ReplayedGcloud.on_path(folder, monkeypatch)
    (tmp_path / "sshd").mkdir()
    with ssh_server(tmp_path / "sshd") as server:
        tunnel_through(server, folder)
        made = Google(server, gcloud, tmp_path)
        made.answers()
        yield made


def refused(host: Instance, kind: type[DeployError] = DeployError) -> str:
    with pytest.raises(kind) as caught:
        host.route()
    assert type(caught.value) is kind or kind is DeployError
    return str(caught.value)


def test_a_command_runs_through_the_tunnel_as_the_os_login_user(google: Google) -> None:
    executor = SshExecutor(lambda: connect(google.host().route()))
    assert executor.run(Command(argv=("id", "-un"), what="ask who")).stdout == f"{google.server.user}\n"
    executor.close()
    assert (
        f"compute start-iap-tunnel axion-dev-main 22 --listen-on-stdin {AT} --verbosity=warning" in google.gcloud.calls
    )


PULUMI = """#!/bin/sh
echo "$*" >> {folder}/pulumi-calls.txt
cat {folder}/outputs.json
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with host_directory() as made:
        yield made


def test_a_task_finds_the_host_of_a_stack_and_looks_at_it_through_the_tunnel(google: Google, place: Path) -> None:
    """All of it as a person types it: pulumi's output, the instance's state and keys, OS Login, tunnel, sshd."""
    folder = google.gcloud.folder
    entry = host_entry(identity_file=str(google.server.identity), data_mount=str(place))
    no_disk = {**entry, "device_paths": None}
    (folder / "outputs.json").write_text(json.dumps({"inventory": inventory(main=no_disk)}))
    (folder / "pulumi").write_text(PULUMI.format(folder=shlex.quote(str(folder))))
    (folder / "pulumi").chmod(0o755)
    ran = fab("releases", "--stack", "dev", "--json", project=google.folder, environment={})
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")
    assert (folder / "pulumi-calls.txt").read_text() == "stack output --json --stack dev --color=never\n"
    assert (google.folder / "out" / "inventory" / "host_keys" / INSTANCE).is_file()
    (folder / "outputs.json").write_text(json.dumps({"inventory": inventory(main=entry)}))
    for task in ("build-and-deploy", "plan", "status", "rollback"):
        ran = fab(task, "--stack", "dev", project=google.folder, environment={})
        assert (ran.returncode, ran.stderr) == (
            1,
            f"axion-dev-main: the data disk is not mounted, got the boot disk at {place}. Read what its "
            "startup script says (lines with `axion:`), `gcloud compute instances get-serial-port-output "
            f"axion-dev-main {AT}`, correct that, and start the host anew.\n",
        )
    google.answers(says("instances describe", {**RUNNING, "status": "TERMINATED"}))
    ran = fab("status", "--stack", "dev", project=google.folder, environment={})
    assert (ran.returncode, ran.stderr) == (
        1,
        "axion-dev-main: does not run: TERMINATED. Start it: `fab start --stack dev --host main`.\n",
    )


def test_keys_are_asked_for_once_for_each_instance(google: Google) -> None:
    connect(google.host().route()).close()
    kept = google.folder / "keys" / INSTANCE
    assert google.server.public_key in kept.read_text()
    google.answers(NO_KEYS)
    connect(google.host().route()).close()


def test_a_changed_key_is_refused_with_where_the_old_one_came_from(google: Google) -> None:
    connect(google.host().route()).close()
    google.server.stop()
    google.server.change_host_key()
    google.server.start()
    google.answers()  # and even what the instance publishes now does not count
    with pytest.raises(DeployError) as caught:
        connect(google.host().route())
    said, kept = str(caught.value), google.folder / "keys" / INSTANCE
    assert said.startswith("axion-dev-main: not the host key that is expected, got ssh-ed25519 SHA256:")
    assert f" where {kept}, kept from the guest attributes of instance {INSTANCE}, says ssh-ed25519 SHA256:" in said
    assert said.endswith(
        f"If you know that the host made new keys, delete {kept}; what it publishes now: "
        f"`gcloud compute instances get-guest-attributes axion-dev-main {AT} --query-path=hostkeys/`."
    )


def test_a_replaced_instance_has_keys_of_its_own(google: Google) -> None:
    connect(google.host().route()).close()
    google.server.stop()
    google.server.change_host_key()
    google.server.start()
    google.answers(says("instances describe", {**RUNNING, "id": "4711"}))
    assert refused(google.host()) == (
        f"axion-dev-main: another instance than the inventory's, got number 4711 where it says {INSTANCE}. It was "
        "replaced: run `pulumi refresh`, then `pulumi up`, and try again."
    )
    connect(google.host(instance_id="4711").route()).close()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("TERMINATED", "TERMINATED. Start it: `fab start --stack dev --host main`."),
        ("SUSPENDED", "SUSPENDED. Start it: `fab start --stack dev --host main`."),
        ("STOPPING", "STOPPING. Wait a minute, then run the same command again."),
    ],
)
def test_a_host_that_does_not_run_is_not_waited_for(google: Google, status: str, said: str) -> None:
    google.answers(says("instances describe", {**RUNNING, "status": status}))
    assert refused(google.host()) == f"axion-dev-main: does not run: {said}"


def test_a_host_without_keys_still_boots_and_is_waited_for(google: Google) -> None:
    google.answers(NO_KEYS)
    assert refused(google.host(), NotYet) == (
        "axion-dev-main: no host keys to verify it by in its guest attributes (hostkeys/). Its startup "
        "script publishes them at each boot: read `gcloud compute instances get-serial-port-output axion-dev-main "
        f"{AT}`."
    )
    connector = Connector(name="axion-dev-main", route=google.host().route, patience_s=30)
    connector.connect(Reporter(), pause=lambda _: google.answers()).close()


def test_a_boot_that_ends_in_a_stop_ends_the_wait(google: Google) -> None:
    google.answers(NO_KEYS)
    stopped = says("instances describe", {**RUNNING, "status": "TERMINATED"})
    with pytest.raises(DeployError, match="does not run: TERMINATED"):
        Connector(name="x", route=google.host().route, patience_s=30).connect(
            Reporter(), pause=lambda _: google.answers(stopped)
        )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            refuses("instances describe", "ERROR: (gcloud) The resource 'instances/i' was not found"),
            "ask for the state of axion-dev-main: not there, got ",
        ),
        (
            refuses("instances describe", "ERROR: (gcloud) Required 'compute.instances.get' permission for 'x'"),
            "ask for the state of axion-dev-main: the account may not do this, got ",
        ),
        (
            refuses("get-guest", "ERROR: (gcloud) Required 'compute.instances.getGuestAttributes' permission for 'x'"),
            "Have an owner of the project grant compute.instances.getGuestAttributes to the account",
        ),
        (
            refuses("describe-profile", "ERROR: (gcloud) You do not currently have an active account selected."),
            "ask OS Login who we are: not logged in, got ",
        ),
        (says("describe-profile", {"name": "1"}), "OS Login: the account has no login name in its profile. "),
    ],
)
def test_what_google_refuses_is_said_with_the_next_step(google: Google, answer: Answer, expected: str) -> None:
    google.answers(answer)
    assert expected in refused(google.host())


def test_without_gcloud_it_says_how_to_get_it(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(google.folder))
    assert refused(google.host()) == (
        "axion-dev-main: gcloud is not on PATH. Install it: https://cloud.google.com/sdk/docs/install."
    )


def test_a_refused_login_says_how_to_register_a_key(google: Google) -> None:
    google.answers(says("describe-profile", {"posixAccounts": [{"username": "nobody-of-that-name"}]}))
    with pytest.raises(DeployError) as caught:
        connect(google.host().route())
    assert "axion-dev-main (port 22 through IAP): does not let nobody-of-that-name in: " in str(caught.value)
    assert f"`gcloud compute os-login ssh-keys add --key-file={google.server.identity}.pub`" in str(caught.value)


def test_a_known_hosts_file_and_a_user_of_the_inventory_are_taken_without_asking(google: Google) -> None:
    known = google.folder / "known"
    known.write_text(f"axion-dev-main {google.server.public_key}\n")
    connect(google.host(known_hosts=str(known), ssh_user=google.server.user).route()).close()
    assert not any("guest" in call or "profile" in call for call in google.gcloud.calls)


def test_the_real_gcloud_knows_the_words_of_the_tunnel(tmp_path: Path) -> None:
    """It does not list `--listen-on-stdin`, but its own ssh uses it; without an account it gets as far as that."""
    need_gcloud()
    argv = tunnel_argv("axion-dev-main", port=22, project="a-project", zone="us-central1-a")
    environment = {**os.environ, "CLOUDSDK_CONFIG": str(tmp_path), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    ran = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert ran.returncode == 1
    assert "You do not currently have an active account selected" in ran.stderr
