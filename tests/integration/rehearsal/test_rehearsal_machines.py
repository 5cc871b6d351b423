"""An instance of the small cloud as a host that really boots: root, a quarter of a minute, no Pulumi and no engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.startup import StartupValues, startup_script
from tests.support.arm.host import run
from tests.support.cloud_calls import ZONE, booted, done, get
from tests.support.fakes.cloud.server import Cloud
from tests.support.machines.root import make_root
from tests.support.rehearsal.datacenter import Datacenter
from tests.support.rehearsal.google import Certificate
from tests.support.rehearsal.guest import Guest, Image
from tests.support.rehearsal.guest_files import Login
from tests.support.rehearsal.leftovers import leftovers
from tests.support.share import eventually

pytestmark = pytest.mark.hosts
# The disk of `booted` is called `data`, and a host's `axion-data`. Without its data disk a host tells no keys.
NAMED_DATA = StartupValues(device="/dev/disk/by-id/google-data")
VM = "projects/axion-test/zones/us-central1-a/instances/vm"


@pytest.fixture
def datacenter(cloud: Cloud, tmp_path: Path) -> Iterator[Datacenter]:
    """With one instance that runs our startup script and has a data disk."""
    certificate = Certificate(tmp_path)
    certificate.make()
    login = Login(public_key="ssh-ed25519 AAAA nobody@example.com")
    image = Image(layers=(make_root("amd64"),), login=login, certificate=certificate)
    plugged = Datacenter(cloud, tmp_path / "hosts", image)
    cloud.state.machines = plugged
    metadata = {"enable-guest-attributes": "TRUE", "startup-script": startup_script(NAMED_DATA)}
    booted(cloud, metadata={"items": [{"key": key, "value": value} for key, value in metadata.items()]})
    try:
        yield plugged
    finally:
        plugged.close()
    assert leftovers(tmp_path) == []


def on(guest: Guest, script: str) -> str:
    """Run a shell script on a host, in its own namespaces."""
    init = guest.init
    assert init is not None, f"{guest.name} is off"
    enter = ("nsenter", f"--target={init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--time", "--wdns=/")
    return run(*enter, "bash", "-c", script, what=script).stdout


def keys(cloud: Cloud) -> dict[str, str]:
    return dict(cloud.state.guest_attributes.get(VM, {}))


def test_a_host_lives_as_its_instance_does(cloud: Cloud, datacenter: Datacenter, tmp_path: Path) -> None:
    eventually(lambda: len(keys(cloud)) == 3, "it published its host keys", bound_s=60)
    guest, first = datacenter.guests[VM], keys(cloud)
    assert sorted(first) == ["hostkeys/ecdsa-sha2-nistp256", "hostkeys/ssh-ed25519", "hostkeys/ssh-rsa"]
    assert on(guest, "cut -d' ' -f1 /etc/ssh/ssh_host_rsa_key.pub").strip() == "ssh-rsa"
    eventually(
        lambda: "axion-preemption" in on(guest, "systemctl list-units --state=active --no-legend"),
        "it watches",
        bound_s=60,
    )
    boots_ago_s = float(on(guest, "cut -d' ' -f1 /proc/uptime").split()[0])
    assert boots_ago_s < 60, "its clock began when it booted"
    on(guest, "echo kept >/etc/kept")

    cloud.state.guest_attributes.clear()
    on(guest, "systemctl reboot")
    eventually(lambda: keys(cloud) == first, "it booted again, and is the same host", bound_s=60)
    cloud.state.guest_attributes.clear()
    done(cloud, "POST", f"{ZONE}/instances/vm/reset")
    eventually(lambda: keys(cloud) == first, "its power was cut, and it booted again", bound_s=60)
    assert on(guest, "cat /etc/kept") == "kept\n"

    on(guest, "systemctl poweroff")
    eventually(
        lambda: get(cloud, f"{ZONE}/instances/vm")["status"] == "TERMINATED",
        "the cloud knows that it is off",
        bound_s=60,
    )
    done(cloud, "POST", f"{ZONE}/instances/vm/start")
    eventually(lambda: datacenter.guests[VM].init, "it was started again", bound_s=60)
    done(cloud, "POST", f"{ZONE}/instances/vm/stop")
    assert datacenter.guests[VM].init is None
    done(cloud, "DELETE", f"{ZONE}/instances/vm")
    done(cloud, "DELETE", f"{ZONE}/disks/data")
    assert leftovers(tmp_path) == []
