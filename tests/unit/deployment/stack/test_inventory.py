"""The inventory: what is written is what is read, and what is not understood is refused with a reason."""

import json
from typing import Any

import pytest

from deployment.errors import ConfigError
from deployment.stack.inventory import Inventory, parse_inventory

HOST = {
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
PROD: dict[str, Any] = {
    "schema": "axion.inventory/1",
    "stack": "prod",
    "project": "a-project",
    "zone": "us-central1-a",
    "hosts": {"main": HOST},
    "secret_ids": {"gateway_api_keys": "projects/a-project/secrets/axion-prod-gateway-api-keys", "hub_token": None},
    "bucket": None,
}


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_inventory(text, "inventory.json")
    return caught.value.problems


def test_an_inventory_survives_being_written_and_read() -> None:
    read = parse_inventory(json.dumps(PROD))
    assert read.as_data() == PROD
    assert parse_inventory(read.dump()) == read
    assert read.hosts["main"].device_paths is not None
    assert read.hosts["main"].device_paths.data == "/dev/disk/by-id/google-axion-data"


def test_an_instance_id_stays_text() -> None:
    """It has 64 bits; a reader that took it for a number would round it."""
    (problem,) = problems_of(json.dumps({**PROD, "hosts": {"main": {**HOST, "instance_id": 8132540987213450001}}}))
    assert problem.startswith("inventory.json hosts.main.instance_id: not text, got 8132540987213450001.")


@pytest.mark.parametrize("schema", ["axion.inventory/2", None, 1])
def test_another_version_is_refused(schema: object) -> None:
    (problem,) = problems_of(json.dumps({**PROD, "schema": schema, "hosts": {}}))
    assert problem == (
        f"inventory.json schema: not a version that is understood here, got {json.dumps(schema)}. "
        "Give axion.inventory/1: run `pulumi up` of this checkout."
    )


def test_every_mistake_is_reported() -> None:
    wrong = {**PROD, "hosts": {"main": {**HOST, "device_paths": {"data": "/dev/sdb"}}}, "extra": 1}
    del wrong["bucket"]
    assert problems_of(json.dumps(wrong)) == (
        'inventory.json hosts.main.device_paths.data: not of the expected form, got "/dev/sdb". '
        "Give a path below /dev/disk/by-id.",
        "inventory.json bucket: missing. Give the bucket for wheels and weights, or null.",
        "inventory.json extra: unknown key, got 1. Delete it; known here: schema, stack, project, zone, hosts, "
        "secret_ids, bucket.",
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
