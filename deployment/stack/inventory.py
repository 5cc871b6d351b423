"""What `pulumi up` tells `fab`: the stack output `inventory`, and the only definition of it.

Pulumi knows no files on a host and Fabric knows nothing of Google: this is all that passes between them.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from deployment.document import Document
from deployment.errors import ConfigError
from deployment.frozen import Frozen
from deployment.problems import describe, shown
from deployment.stack.addresses import client_range
from deployment.stack.host_root import KIND as HOST_ROOT_KIND
from deployment.stack.host_root import host_root

SCHEMA: Literal["axion.inventory/1"] = "axion.inventory/1"


class DevicePaths(Frozen):
    """Block devices by names that survive a reboot."""

    data: str = Field(pattern=r"^/dev/disk/by-id/google-[a-z0-9-]+$", description="a path below /dev/disk/by-id")
    """The disk that is mounted at `data_mount`. It is used on Google hosts only; elsewhere any name of this form does.
    """


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
    """The instance's name. For another host: any name, used in messages and by `--host`."""
    instance_id: str = Field(pattern=r"^\d+$", description="the number that a replaced instance does not keep")
    """Under this number `fab` keeps the host's keys. For another host write `0`."""
    zone: str = Field(description="a zone such as us-central1-a")
    """The instance's zone. For another host write `none`."""
    machine_type: str = Field(description="a machine type such as c4a-standard-32")
    """What `fab` shows. For another host write `none`. Cores and memory are read on the host itself."""
    internal_ip: str = Field(description="its address in the stack's network")
    """Shown to you. `fab` does not connect to it: see `ssh_address`."""
    external_ip: str | None = Field(description="its address outside, or null")
    """Shown to you. `fab` does not connect to it."""
    ssh_user: str | None = Field(description="who to log in as, or null where OS Login decides")
    """root, or somebody who may use sudo without a password."""
    device_paths: DevicePaths | None = Field(
        description="a mapping such as {data: /dev/disk/by-id/google-axion-data}, or null without a data disk"
    )
    """The data disk. For a host without one: null."""
    data_mount: Annotated[str, AfterValidator(host_root)] = Field(description=HOST_ROOT_KIND)
    """Where all of axion's files are on the host: engines, models, releases and logs. `fab uninstall` empties it."""
    # Absent in inventories older than these fields: closed, and no key is asked for.
    gateway_clients: tuple[Annotated[str, AfterValidator(client_range)], ...] = Field(
        (), description="the ranges whose clients may connect to the gateway, such as [10.20.0.0/24]"
    )
    """Who may connect to the gateway from other machines. Left out, nobody. Needs `gateway_keys`."""
    gateway_keys: str | None = Field(
        None,
        min_length=1,
        description="what holds the keys that clients must send: a secret's full name, a file of the host, or null",
    )
    """The file has one key a line; only root needs to read it. Left out, no key is required."""
    models: str | None = Field(
        None, min_length=1, description="the models file that it serves, relative to the checkout, or null: models.yaml"
    )
    """What this host serves. Left out, it is models.yaml of the checkout."""
    # Only for inventories that people write, of hosts that are not reached as Google's are. Absent means null.
    ssh_address: str | None = Field(None, description="an address to connect to directly, or null for IAP")
    """How to reach a host that is not Google's."""
    ssh_port: int = Field(22, ge=1, le=65535, description="a port number")
    """The port of its SSH server."""
    known_hosts: str | None = Field(None, description="a file with the host's keys, or null for guest attributes")
    """The host's keys, as `ssh-keyscan` writes them. Any other key is refused."""
    identity_file: str | None = Field(None, description="a file with a private key, or null for the usual ones")
    """Your key for this host. Left out, the keys of your SSH agent and the usual files are tried."""
    ssh_proxy_command: str | None = Field(
        None,
        min_length=1,
        description="a program whose input and output are the connection, as ssh's ProxyCommand: %h, %p and %r count",
    )
    """How to reach a host behind another one, such as `ssh -W %h:%p bastion`."""

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
    """Written by `pulumi up`. For your own hosts write `none`, and set `gateway_keys`."""
    hub_token: str | None = Field(description="the full name of a Secret Manager secret, or null")
    """Where Google hosts read the hub's token. For others: null; `HF_TOKEN` is passed on instead."""


class Inventory(Frozen):
    """Everything of a stack that a deployment needs."""

    schema_: Literal["axion.inventory/1"] = Field(SCHEMA, alias="schema", description=SCHEMA)
    """Which version of this format the file has."""
    stack: str = Field(description="the stack's name")
    """Shown to you. For your own hosts: any name."""
    project: str = Field(description="the project's id")
    """Google's project. For your own hosts write `none`."""
    zone: str = Field(description="the stack's zone")
    """Google's zone. For your own hosts write `none`."""
    hosts: dict[str, InventoryHost] = Field(min_length=1, description="a mapping from host name to host")
    """The hosts. The key is what `--host` takes."""
    secret_ids: SecretIds = Field(description="names of secrets")
    """Where the stack's secrets are. For your own hosts: `none` and null."""
    bucket: str | None = Field(description="the bucket for wheels and weights, or null")
    """Written by `pulumi up`. For your own hosts: null."""

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
