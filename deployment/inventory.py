"""What `pulumi up` tells `fab`: the stack output `inventory`, and the only definition of it.

Pulumi knows no files on a host and Fabric knows nothing of Google: this is all that passes between them.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from deployment.addresses import client_range
from deployment.document import Document
from deployment.errors import ConfigError
from deployment.frozen import Frozen
from deployment.host_root import KIND as HOST_ROOT_KIND
from deployment.host_root import host_root
from deployment.problems import describe, shown

SCHEMA: Literal["axion.inventory/1"] = "axion.inventory/1"


class DevicePaths(Frozen):
    """Block devices by names that survive a reboot."""

    data: str = Field(pattern=r"^/dev/disk/by-id/google-[a-z0-9-]+$", description="a path below /dev/disk/by-id")


# Left out where they say nothing: an inventory looks to older checkouts as it did before there were these fields.
LEFT_OUT: Mapping[str, object] = {
    "ssh_address": None,
    "ssh_port": 22,
    "known_hosts": None,
    "identity_file": None,
    "ssh_proxy_command": None,
    "gateway_clients": [],
    "gateway_keys": None,
    "models": None,
}


class InventoryHost(Frozen):
    """One host, as far as another program needs to know it."""

    name: str = Field(description="the instance's name in the cloud")
    instance_id: str = Field(pattern=r"^\d+$", description="the number that a replaced instance does not keep")
    zone: str = Field(description="a zone such as us-central1-a")
    machine_type: str = Field(description="a machine type such as c4a-standard-32")
    internal_ip: str = Field(description="its address in the stack's network")
    external_ip: str | None = Field(description="its address outside, or null")
    ssh_user: str | None = Field(description="who to log in as, or null where OS Login decides")
    device_paths: DevicePaths | None = Field(
        description="a mapping such as {data: /dev/disk/by-id/google-axion-data}, or null without a data disk"
    )
    data_mount: Annotated[str, AfterValidator(host_root)] = Field(description=HOST_ROOT_KIND)
    # Absent in inventories older than these fields: closed, and no key is asked for.
    gateway_clients: tuple[Annotated[str, AfterValidator(client_range)], ...] = Field(
        (), description="the ranges whose clients may connect to the gateway, such as [10.20.0.0/24]"
    )
    gateway_keys: str | None = Field(
        None,
        min_length=1,
        description="what holds the keys that clients must send: a secret's full name, a file of the host, or null",
    )
    models: str | None = Field(
        None, min_length=1, description="the models file that it serves, relative to the checkout, or null: models.yaml"
    )
    # Only for inventories that people write, of hosts that are not reached as Google's are. Absent means null.
    ssh_address: str | None = Field(None, description="an address to connect to directly, or null for IAP")
    ssh_port: int = Field(22, ge=1, le=65535, description="a port number")
    known_hosts: str | None = Field(None, description="a file with the host's keys, or null for guest attributes")
    identity_file: str | None = Field(None, description="a file with a private key, or null for the usual ones")
    ssh_proxy_command: str | None = Field(
        None,
        min_length=1,
        description="a program whose input and output are the connection, as ssh's ProxyCommand: %h, %p and %r count",
    )

    @property
    def is_google(self) -> bool:
        """Whether Google knows this host: a hand-written one that gives address and keys needs no cloud."""
        return self.ssh_address is None or self.known_hosts is None

    @property
    def has_data_disk(self) -> bool:
        """Whether `data_mount` has to be a mount: on what Google runs. Elsewhere a directory does, be it `/`."""
        return self.is_google and self.device_paths is not None

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return {key: value for key, value in data.items() if key not in LEFT_OUT or value != LEFT_OUT[key]}


class SecretIds(Frozen):
    """Where secrets are, never what they are."""

    gateway_api_keys: str = Field(description="the full name of a Secret Manager secret")
    hub_token: str | None = Field(description="the full name of a Secret Manager secret, or null")


class Inventory(Frozen):
    """Everything of a stack that a deployment needs."""

    schema_: Literal["axion.inventory/1"] = Field(SCHEMA, alias="schema", description=SCHEMA)
    stack: str = Field(description="the stack's name")
    project: str = Field(description="the project's id")
    zone: str = Field(description="the stack's zone")
    hosts: dict[str, InventoryHost] = Field(min_length=1, description="a mapping from host name to host")
    secret_ids: SecretIds = Field(description="names of secrets")
    bucket: str | None = Field(description="the bucket for wheels and weights, or null")

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data, as the stack output holds it."""
        return self.model_dump(mode="json", by_alias=True)

    def dump(self) -> str:
        """Return it as text; equal inventories give equal text."""
        return json.dumps(self.as_data(), indent=1) + "\n"


def parse_inventory(text: str, source: str = "inventory") -> Inventory:
    """Read an inventory. Raises ConfigError with every problem found."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigError([f"{source}: not JSON, got {error}. Write it by `pulumi stack output inventory`."]) from None
    return inventory_from(data, source)


def inventory_from(data: Mapping[str, Any] | Any, source: str = "inventory") -> Inventory:
    """Check plain data. Raises ConfigError with every problem found."""
    if not isinstance(data, dict):
        raise ConfigError([f"{source}: not a mapping, got {shown(data)}. Write it by `pulumi stack output inventory`."])
    if data.get("schema") != SCHEMA:
        what = f"not a version that is understood here, got {shown(data.get('schema'))}"
        raise ConfigError([f"{source} schema: {what}. Give {SCHEMA}: run `pulumi up` of this checkout."])
    try:
        inventory = Inventory.model_validate(data)
    except ValidationError as error:
        raise ConfigError(describe(error, (), Document(source, data, {}, ()), Inventory)) from None
    open_to_all = [
        f"{source} hosts.{name}.gateway_clients: open to whoever is there, got no gateway_keys. Give the keys that "
        "clients must send: axion:gatewayApiKeys of the stack, or a file of the host."
        for name, host in inventory.hosts.items()
        if host.gateway_clients and host.gateway_keys is None
    ]
    if open_to_all:
        raise ConfigError(open_to_all)
    return inventory
