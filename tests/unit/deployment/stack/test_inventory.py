"""The inventory: what is written is what is read, and what is not understood is refused with a reason."""

import json
from typing import Any

import pytest

from deployment.errors import ConfigError
from deployment.stack.inventory import Inventory, parse_inventory

HOST = {
    "kind": "google",
    "name": "axion-prod-main",
    "data_mount": "/opt/axion",
    "instance_id": "8132540987213450000",
    "zone": "us-central1-a",
    "machine_type": "c4a-standard-32",
    "internal_ip": "10.20.0.2",
    "device_paths": {"data": "/dev/disk/by-id/google-axion-data"},
}
KEYS = "projects/a-project/secrets/axion-prod-gateway-api-keys"
PROD: dict[str, Any] = {
    "schema": "axion.inventory/2",
    "stack": "prod",
    "google": {"project": "a-project", "zone": "us-central1-a", "secret_ids": {"gateway_api_keys": KEYS}},
    "hosts": {"main": HOST},
}
OWN = {
    "kind": "ssh",
    "name": "lab-main",
    "data_mount": "/srv/axion",
    "ssh_address": "10.0.0.5",
    "ssh_user": "root",
    "known_hosts": "~/.ssh/known_hosts",
}
LAB: dict[str, Any] = {"schema": "axion.inventory/2", "stack": "lab", "hosts": {"main": OWN}}
# What `pulumi up` wrote before, and what people wrote by hand.
PROD_1: dict[str, Any] = {
    "schema": "axion.inventory/1",
    "stack": "prod",
    "project": "a-project",
    "zone": "us-central1-a",
    "hosts": {
        "main": {
            "name": "axion-prod-main",
            "instance_id": "8132540987213450000",
            "zone": "us-central1-a",
            "machine_type": "c4a-standard-32",
            "internal_ip": "10.20.0.2",
            "external_ip": None,
            "ssh_user": None,
            "device_paths": {"data": "/dev/disk/by-id/google-axion-data"},
            "data_mount": "/opt/axion",
        }
    },
    "secret_ids": {"gateway_api_keys": KEYS, "hub_token": None},
    "bucket": None,
}
LAB_1: dict[str, Any] = {
    "schema": "axion.inventory/1",
    "stack": "lab",
    "project": "none",
    "zone": "none",
    "hosts": {
        "main": {
            "name": "lab-main",
            "instance_id": "0",
            "zone": "none",
            "machine_type": "none",
            "internal_ip": "10.0.0.5",
            "external_ip": None,
            "ssh_user": "root",
            "ssh_address": "10.0.0.5",
            "known_hosts": "~/.ssh/known_hosts",
            "device_paths": {"data": "/dev/disk/by-id/google-none"},
            "data_mount": "/srv/axion",
        }
    },
    "secret_ids": {"gateway_api_keys": "none", "hub_token": None},
    "bucket": None,
}


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_inventory(text, "inventory.json")
    return caught.value.problems


@pytest.mark.parametrize("written", [PROD, LAB], ids=["google", "ssh"])
def test_an_inventory_survives_being_written_and_read(written: dict[str, Any]) -> None:
    read = parse_inventory(json.dumps(written))
    assert read.as_data() == written
    assert parse_inventory(read.dump()) == read


@pytest.mark.parametrize(("old", "new"), [(PROD_1, PROD), (LAB_1, LAB)], ids=["google", "ssh"])
def test_an_inventory_of_version_1_is_still_read(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert parse_inventory(json.dumps(old)) == parse_inventory(json.dumps(new))


def test_a_host_of_ones_own_reads_a_token_of_google_as_it_did_in_version_1() -> None:
    token = {"gateway_api_keys": KEYS, "hub_token": "projects/a-project/secrets/token"}
    read = parse_inventory(json.dumps({**LAB_1, "secret_ids": token}))
    assert read.google is not None
    assert read.google.secret_ids.hub_token == "projects/a-project/secrets/token"


def test_an_inventory_of_version_1_with_mistakes_is_told_of_each_of_them() -> None:
    host = {**LAB_1["hosts"]["main"], "ssh_user": None, "ssh_prot": 22}
    assert problems_of(json.dumps({**LAB_1, "hosts": {"main": host, "other": 7}})) == (
        "inventory.json hosts.main.ssh_prot: unknown key, got 22. Write ssh_port, if that is meant.",
        "inventory.json hosts.main.ssh_user: not text, got null. Give the user to log in as.",
        "inventory.json hosts.other: not a mapping, got 7. Give a mapping from host name to host.",
    )
    assert problems_of(json.dumps({"schema": "axion.inventory/1", "stack": "lab", "hosts": []})) == (
        "inventory.json project: missing. Give the project's id.",
        "inventory.json zone: missing. Give the stack's zone.",
        "inventory.json secret_ids: missing. Give names of secrets.",
        "inventory.json hosts: not a mapping, got []. Give a mapping from host name to host.",
    )


def test_an_inventory_of_version_1_is_told_of_no_key_that_it_could_not_have() -> None:
    host = {**PROD_1["hosts"]["main"], "kind": "google", "colour": "red", "instance_di": "1"}
    wrong = {**PROD_1, "google": {"project": "another"}, "hosts": {"main": host}, "bucket": 3}
    assert problems_of(json.dumps(wrong)) == (
        'inventory.json google: unknown key, got {"project": "another"}. Delete it; known here: schema, stack, '
        "project, zone, secret_ids, bucket, hosts.",
        'inventory.json hosts.main.kind: unknown key, got "google". Delete it; known here: name, data_mount, '
        "gateway_clients, gateway_keys, models, ssh_port, identity_file, ssh_proxy_command, ssh_address, ssh_user, "
        "known_hosts, instance_id, zone, machine_type, internal_ip, external_ip, device_paths.",
        'inventory.json hosts.main.colour: unknown key, got "red". Delete it; known here: name, data_mount, '
        "gateway_clients, gateway_keys, models, ssh_port, identity_file, ssh_proxy_command, ssh_address, ssh_user, "
        "known_hosts, instance_id, zone, machine_type, internal_ip, external_ip, device_paths.",
        'inventory.json hosts.main.instance_di: unknown key, got "1". Write instance_id, if that is meant.',
        "inventory.json bucket: not text, got 3. Give the bucket for wheels and weights, or null.",
    )


@pytest.mark.parametrize("schema", ["axion.inventory/1", "axion.inventory/2"])
def test_what_is_not_there_was_not_given(schema: str) -> None:
    assert "inventory.json hosts: missing. Give a mapping from host name to host." in problems_of(
        json.dumps({"schema": schema, "stack": "lab"})
    )
    assert problems_of("{}") == (
        "inventory.json schema: missing. Give axion.inventory/2: run `pulumi up` of this checkout.",
    )


@pytest.mark.parametrize("depth", [52, 100_000])
def test_what_is_nested_too_deeply_is_one_problem(depth: int) -> None:
    deep = '{"schema": "axion.inventory/2", "hosts": ' + "[" * depth + "]" * depth + "}"
    assert problems_of(deep) == (
        "inventory.json: nested deeper than 50 levels. Nothing here is: look where a bracket is missing.",
    )


@pytest.mark.parametrize("written", [LAB, LAB_1], ids=["version 2", "version 1"])
def test_nothing_of_a_host_reaches_a_terminal_or_a_program_that_is_more_than_a_line_of_text(
    written: dict[str, Any],
) -> None:
    host = {**written["hosts"]["main"], "name": "a\nb", "known_hosts": "/a\0b", "identity_file": "\ud800"}
    both = {"m\x1b[31m": {**host, "ssh_proxy_command": "nc\u202e"}, "b\nc": host}
    lines = problems_of(json.dumps({**written, "hosts": both}))
    what = "with a character that cannot be printed, got"
    assert sorted(line.removeprefix("inventory.json hosts.") for line in lines) == [
        f'b\\nc.identity_file: {what} "\\ud800". Take it out.',
        f'b\\nc.known_hosts: {what} "\\u0000". Take it out.',
        f'b\\nc.name: {what} "\\n". Take it out.',
        f'b\\nc: {what} "\\n". Take it out.',
        f'm\\u001b[31m.identity_file: {what} "\\ud800". Take it out.',
        f'm\\u001b[31m.known_hosts: {what} "\\u0000". Take it out.',
        f'm\\u001b[31m.name: {what} "\\n". Take it out.',
        f'm\\u001b[31m.ssh_proxy_command: {what} "\\u202e". Take it out.',
        f'm\\u001b[31m: {what} "\\u001b". Take it out.',
    ]


def test_a_host_says_of_which_kind_it_is() -> None:
    kinds = "Give google for an instance of Google's, or ssh for any other host."
    silent = {key: value for key, value in OWN.items() if key != "kind"}
    hosts = {"a": silent, "b": {**OWN, "kind": "aws"}, "c": {**OWN, "kind": None}, "d": "lab", "ssh": {"kind": "ssh"}}
    assert problems_of(json.dumps({**LAB, "hosts": hosts})) == (
        f"inventory.json hosts.a.kind: missing. {kinds}",
        f'inventory.json hosts.b.kind: no such kind, got "aws". {kinds}',
        f"inventory.json hosts.c.kind: no such kind, got null. {kinds}",
        'inventory.json hosts.d: not a mapping, got "lab". Give a mapping from host name to host.',
        "inventory.json hosts.ssh.name: missing. Give the host's name, for an instance its name in the cloud.",
        "inventory.json hosts.ssh.data_mount: missing. Give an absolute path to a directory of its own that stays, "
        "such as /opt/axion, /srv/axion or /data/axion, of letters, digits and . _ - and at most 66 of them.",
        "inventory.json hosts.ssh.ssh_address: missing. Give an address or a name to connect to.",
        "inventory.json hosts.ssh.ssh_user: missing. Give the user to log in as.",
        "inventory.json hosts.ssh.known_hosts: missing. Give a file with the host's keys.",
    )


def test_a_host_has_the_fields_of_its_kind_only() -> None:
    (problem,) = problems_of(json.dumps({**LAB, "hosts": {"main": {**OWN, "machine_type": "none"}}}))
    assert problem.startswith(
        'inventory.json hosts.main.machine_type: unknown key, got "none". Delete it; known here: '
    )
    assert problem.endswith(" kind, ssh_address, ssh_user, known_hosts.")


def test_hosts_of_google_need_the_project() -> None:
    assert problems_of(json.dumps({**LAB, "hosts": {"own": OWN, "main": HOST}})) == (
        "inventory.json google: missing. Give project, zone and secret_ids: hosts.main is of kind google.",
    )


def test_hosts_have_names_of_their_own() -> None:
    """What a task keeps by a host's name must not be another's."""
    assert problems_of(json.dumps({**LAB, "hosts": {"main": OWN, "other": OWN}})) == (
        "inventory.json hosts.other.name: the name of hosts.main too, got lab-main. Give each a name of its own.",
    )


def test_keys_are_in_a_file_of_the_host_or_in_a_secret() -> None:
    wrong = {**OWN, "gateway_keys": "keys", "ssh_port": "22"}
    assert problems_of(json.dumps({**LAB, "hosts": {"main": wrong}})) == (
        'inventory.json hosts.main.gateway_keys: neither an absolute path nor a secret\'s full name, got "keys". Give '
        "what holds the keys that clients must send: a secret's full name, a file of the host, or null.",
        'inventory.json hosts.main.ssh_port: not a whole number, got "22". Give a port number.',
    )


def test_an_instance_id_stays_text() -> None:
    """It has 64 bits; a reader that took it for a number would round it."""
    (problem,) = problems_of(json.dumps({**PROD, "hosts": {"main": {**HOST, "instance_id": 8132540987213450001}}}))
    assert problem.startswith("inventory.json hosts.main.instance_id: not text, got 8132540987213450001.")


@pytest.mark.parametrize("schema", ["axion.inventory/3", None, 1])
def test_another_version_is_refused(schema: object) -> None:
    (problem,) = problems_of(json.dumps({**PROD, "schema": schema, "hosts": {}}))
    assert problem == (
        f"inventory.json schema: not a version that is understood here, got {json.dumps(schema)}. "
        "Give axion.inventory/2: run `pulumi up` of this checkout."
    )


def test_every_mistake_is_reported() -> None:
    wrong = {**PROD, "hosts": {"main": {**HOST, "device_paths": {"data": "/dev/sdb"}}}, "extra": 1}
    del wrong["stack"]
    assert problems_of(json.dumps(wrong)) == (
        "inventory.json stack: missing. Give the stack's name.",
        'inventory.json hosts.main.device_paths.data: not of the expected form, got "/dev/sdb". '
        "Give a path below /dev/disk/by-id.",
        "inventory.json extra: unknown key, got 1. Delete it; known here: schema, stack, google, hosts.",
    )


@pytest.mark.parametrize(("text", "what"), [("{", "not JSON"), ("[]", "not a mapping"), ('"x"', "not a mapping")])
def test_what_is_no_inventory_at_all_is_one_problem(text: str, what: str) -> None:
    (problem,) = problems_of(text)
    assert problem.startswith(f"inventory.json: {what}")


def test_no_field_could_hold_a_secret() -> None:
    fields = json.dumps(Inventory.model_json_schema())
    assert not [
        word for word in ("password", "private_key", 'api_key"', 'token"') if word in fields.replace("hub_token", "")
    ]
