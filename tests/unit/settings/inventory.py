"""An inventory that somebody wrote: what is said of a host, and where `fab` and the host find it."""

from pathlib import Path
from typing import Any

from build.cli.inventory import inventory_file, remote_target, written_route
from deployment.stack.inventory import SshHost
from tests.support.ssh_inventory import inventory, write
from tests.unit.settings import release
from tests.unit.settings.table import Elsewhere, Said, Seen, Setting, made_of, seen

BASE: dict[str, Any] = {
    "kind": "ssh",
    "name": "lab-main",
    "ssh_user": "root",
    "ssh_address": "10.0.0.5",
    "known_hosts": "~/known",
    "data_mount": "/opt/axion",
}
DISK = {"device_paths": {"data": "/dev/disk/by-id/google-axion-data"}}
OF_GOOGLE = {
    "kind": "google", "instance_id": "0", "zone": "lab-zone", "machine_type": "lab-machine", "internal_ip": "10.0.0.5",
    "ssh_address": None, "known_hosts": None, **DISK,
}  # fmt: skip
KEYS = {"gateway_keys": "/etc/axion/keys"}

SETTINGS = (
    Setting("name", "lab-other", {"fab name": "lab-other", "ssh name": "lab-other"}),
    Setting(
        "zone", "us-east1-b",
        {"fab boot_log": "gcloud compute instances get-serial-port-output lab-main --project=a-project "
         "--zone=us-east1-b"},
        OF_GOOGLE,
    ),
    Setting("ssh_user", "admin", {"ssh user": "admin"}),
    Setting(
        "data_mount", "/srv/axion",
        {"fab root": "/srv/axion", "host systemd/vllm@.service RequiresMountsFor": "/srv/axion"},
    ),
    Setting(
        "models", "examples/dev/models.yaml",
        {"fab models file": "examples/dev/models.yaml", "host gateway.json default_model": "phi4_fast"},
    ),
    Setting(
        "gateway_clients", ["10.8.0.0/24"],
        {"host systemd/gateway.socket IPAddressAllow": ["localhost", "10.8.0.0/24"]}, KEYS,
    ),
    Setting(
        "gateway_keys", "/etc/axion/keys",
        {"host systemd/gateway-keys.service ExecStart":
         "/usr/bin/python3 -s -P -m agent.secrets /etc/axion/keys /run/axion/gateway-key-digests axion"},
    ),
    Setting("ssh_address", "10.0.0.9", {"ssh address": "10.0.0.9"}),
    Setting("ssh_port", 2222, {"ssh port": 2222}),
    Setting("known_hosts", "~/others", {"ssh known": "~/others"}),
    Setting("identity_file", "/keys/lab", {"ssh identity_file": "/keys/lab"}),
    Setting(
        "ssh_proxy_command", "ssh -W %h:%p bastion",
        {"ssh tunnel": ["/bin/sh", "-c", "exec ssh -W 10.0.0.5:22 bastion"]},
    ),
)  # fmt: skip

TOLD = "Pulumi tells it to people and to other programs; `fab` goes another way"
ELSEWHERE = {
    "kind": Elsewhere("which of the two a host is", "test_the_examples_of_inventories_are_one_of_each_kind"),
    "instance_id": Elsewhere(
        "names the file of an instance's keys, and the instance", "test_a_replaced_instance_has_keys_of_its_own"
    ),
    "machine_type": Elsewhere(
        "what a zone is out of", "test_a_stopped_host_is_started_by_the_command_that_a_task_names"
    ),
    "internal_ip": Elsewhere(TOLD, "test_the_inventory_is_what_its_definition_says"),
    "external_ip": Elsewhere(TOLD, "test_an_open_gateway_and_an_external_address_have_their_lists_and_ports"),
    "device_paths.data": Elsewhere(
        "whether data_mount has to be a mount",
        "test_a_task_finds_the_host_of_a_stack_and_looks_at_it_through_the_tunnel",
    ),
}


def arrivals(said: Said, folder: Path, models: Path) -> Seen:
    """What `fab` and the host get of a host of a written inventory, which serves `models` unless it says otherwise."""
    host = made_of(BASE, {"models": str(models)}, said)
    read = inventory_file(write(folder / "inventory.json", inventory(main=host)))
    entry = read.hosts["main"]
    target = remote_target(read, entry)
    return {
        **(seen(_route(entry), "ssh") if isinstance(entry, SshHost) else {}),
        **{f"fab {key}": getattr(target, key) for key in ("name", "root", "boot_log")},
        **release.of_host(target),
    }


def _route(host: SshHost) -> dict[str, Any]:
    route = written_route(host)
    return {
        "name": route.name,
        "address": route.address,
        "port": route.port,
        "user": route.user,
        "known": route.known.source.replace(str(Path.home()), "~"),
        "identity_file": str(route.identity_file),
        "tunnel": list(route.tunnel or ()),
    }
