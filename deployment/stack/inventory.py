"""What `pulumi up` tells `fab`: the stack output `inventory`, and the only definition of it.

Pulumi knows no files on a host and Fabric knows nothing of Google: this is all that passes between them.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from deployment.document import TOO_DEEP, Document, Path
from deployment.errors import ConfigError
from deployment.frozen import Frozen
from deployment.problems import describe, keys_of, shown, unknown_key
from deployment.stack.addresses import client_range
from deployment.stack.host_root import KIND as HOST_ROOT_KIND
from deployment.stack.host_root import host_root

SCHEMA: Literal["axion.inventory/2"] = "axion.inventory/2"
VERSION_1 = "axion.inventory/1"
OF_GOOGLE = ("project", "zone", "secret_ids", "bucket")
"""What version 1 had at its top, for hosts of one's own too."""
KINDS = "google for an instance of Google's, or ssh for any other host"


def _keys_place(value: str) -> str:
    """Refuse what a host would look for at Secret Manager, and not find there."""
    if not value.startswith(("/", "projects/")):
        raise ValueError("neither an absolute path nor a secret's full name")
    return value


class DevicePaths(Frozen):
    """Block devices by names that survive a reboot."""

    data: str = Field(pattern=r"^/dev/disk/by-id/google-[a-z0-9-]+$", description="a path below /dev/disk/by-id")
    """The disk that is mounted at `data_mount`."""


class AnyHost(Frozen):
    """What may be said of every host, whoever has it."""

    name: str = Field(min_length=1, description="the host's name, for an instance its name in the cloud")
    """Used in messages and by `--host`."""
    data_mount: Annotated[str, AfterValidator(host_root)] = Field(description=HOST_ROOT_KIND)
    """Where all of axion's files are on the host: engines, models, releases and logs. `fab uninstall` empties it."""
    gateway_clients: tuple[Annotated[str, AfterValidator(client_range)], ...] = Field(
        (), description="the ranges whose clients may connect to the gateway, such as [10.20.0.0/24]"
    )
    """Who may connect to the gateway from other machines. Left out, nobody. Needs `gateway_keys`."""
    gateway_keys: Annotated[str, AfterValidator(_keys_place)] | None = Field(
        None,
        min_length=1,
        description="what holds the keys that clients must send: a secret's full name, a file of the host, or null",
    )
    """The file has one key a line, with [what it may do](operations.md#what-a-key-may-do) behind it; only root needs to
    read it. Left out, no key is required."""
    models: str | None = Field(
        None, min_length=1, description="the models file that it serves, relative to the checkout, or null: models.yaml"
    )
    """What this host serves. Left out, it is models.yaml of the checkout."""
    ssh_port: int = Field(22, ge=1, le=65535, strict=True, description="a port number")
    """The port of its SSH server."""
    identity_file: str | None = Field(None, description="a file with a private key, or null for the usual ones")
    """Your key for this host. Left out, the keys of your SSH agent and the usual files are tried."""
    ssh_proxy_command: str | None = Field(
        None,
        min_length=1,
        description="a program whose input and output are the connection, as ssh's ProxyCommand: %h, %p and %r count",
    )
    """How to reach a host behind another one, such as `ssh -W %h:%p bastion`."""


class SshHost(AnyHost):
    """A host of your own: you write down where it is, who logs in, and what it proves itself with."""

    kind: Literal["ssh"] = Field(description=KINDS)
    """Says that this is a host of your own."""
    ssh_address: str = Field(min_length=1, description="an address or a name to connect to")
    """Where its SSH server listens."""
    ssh_user: str = Field(min_length=1, description="the user to log in as")
    """root, or somebody who may use sudo without a password."""
    known_hosts: str = Field(min_length=1, description="a file with the host's keys")
    """What the host must prove itself with, as `ssh-keyscan` writes it. Any other key is refused."""


class GoogleHost(AnyHost):
    """An instance of Google's, reached through Identity-Aware Proxy. `pulumi up` writes it."""

    kind: Literal["google"] = Field(description=KINDS)
    """Says that this is an instance of Google's."""
    instance_id: str = Field(pattern=r"^\d+$", description="the number that a replaced instance does not keep")
    """Under this number `fab` keeps the host's keys."""
    zone: str = Field(description="a zone such as us-central1-a")
    """Where Google has the machine."""
    machine_type: str = Field(description="a machine type such as c4a-standard-32")
    """What `fab` shows. Cores and memory are read on the host itself."""
    internal_ip: str = Field(description="its address in the stack's network")
    """Shown to you. `fab` does not connect to it: see `ssh_address`."""
    external_ip: str | None = Field(None, description="its address outside, or null")
    """Shown to you. `fab` does not connect to it."""
    device_paths: DevicePaths | None = Field(
        description="a mapping such as {data: /dev/disk/by-id/google-axion-data}, or null without a data disk"
    )
    """The data disk, which has to be mounted at `data_mount`. Without one, null: then any directory will do."""
    ssh_address: str | None = Field(None, description="an address to connect to directly, or null for IAP")
    """For an instance that you reach without Identity-Aware Proxy."""
    ssh_user: str | None = Field(None, description="who to log in as, or null where OS Login decides")
    """root, or somebody who may use sudo without a password. Left out, OS Login tells who you are."""
    known_hosts: str | None = Field(None, description="a file with the host's keys, or null for guest attributes")
    """What the instance must prove itself with. Left out, the keys that it published in its guest attributes count."""


class SecretIds(Frozen):
    """Where secrets are, never what they are."""

    gateway_api_keys: str = Field(description="the full name of a Secret Manager secret")
    """The keys that clients must send."""
    hub_token: str | None = Field(None, description="the full name of a Secret Manager secret, or null")
    """Where hosts read the hub's token. Left out, `HF_TOKEN` is passed on instead."""


class GoogleProject(Frozen):
    """What the hosts of Google's have around them."""

    project: str = Field(description="the project's id")
    """Google's project."""
    zone: str = Field(description="the stack's zone")
    """The zone of what has no zone of its own."""
    secret_ids: SecretIds = Field(description="names of secrets")
    """Where the stack's secrets are."""
    bucket: str | None = Field(None, description="the bucket for wheels and weights, or null")
    """The stack's bucket."""


InventoryHost = SshHost | GoogleHost


class Inventory(Frozen):
    """Everything of a stack that a deployment needs."""

    schema_: Literal["axion.inventory/2"] = Field(alias="schema", description=SCHEMA)
    """Which version of this format the file has. A file of version 1 is still read."""
    stack: str = Field(description="the stack's name")
    """Shown to you. For your own hosts: any name."""
    google: GoogleProject | None = Field(None, description="the project of Google's, or null without one")
    """Needed with a host of kind `google`."""
    hosts: dict[str, Annotated[InventoryHost, Field(discriminator="kind")]] = Field(
        min_length=1, description="a mapping from host name to host"
    )
    """The hosts. The key is what `--host` takes."""

    @property
    def project(self) -> str:
        """Google's project. An inventory without one has no Google hosts."""
        assert self.google is not None, "inventory_from refuses hosts of Google's without it"
        return self.google.project

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data, as the stack output holds it: what is as it would be anyway is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def dump(self) -> str:
        """Return it as text; equal inventories give equal text."""
        return json.dumps(self.as_data(), indent=1) + "\n"


def parse_inventory(text: str, source: str = "inventory") -> Inventory:
    """Read an inventory. Raises ConfigError with every problem found."""
    try:
        data = json.loads(text)
    except RecursionError:
        raise ConfigError([f"{source}: {TOO_DEEP}."]) from None
    except ValueError as error:
        raise ConfigError([f"{source}: not JSON: {error}. Write it by `pulumi stack output inventory`."]) from None
    return inventory_from(data, source)


def inventory_from(data: Any, source: str = "inventory") -> Inventory:
    """Check plain data. Raises ConfigError with every problem found."""
    if not isinstance(data, dict):
        raise ConfigError([f"{source}: not a mapping, got {shown(data)}. Write it by `pulumi stack output inventory`."])
    if data.get("schema") not in (SCHEMA, VERSION_1):
        got = f"not a version that is understood here, got {shown(data['schema'])}" if "schema" in data else "missing"
        raise ConfigError([f"{source} schema: {got}. Give {SCHEMA}: run `pulumi up` of this checkout."])
    document, problems = Document(source, data).checked(has_lines=False), []
    if data["schema"] == VERSION_1:
        document = _Version1(source, data)
        problems, data = document.unknown(), of_version_2(data)
    try:
        inventory = Inventory.model_validate(data)
    except ValidationError as error:
        raise ConfigError([*problems, *describe(error, (), document, Inventory)]) from None
    problems += [f"{source} {each}" for each in _disagreements(inventory)]
    if problems:
        raise ConfigError(problems)
    return inventory


class _Version1(Document):
    """A file of version 1, whose mistakes are told by the keys that it has."""

    TOP = ("schema", "stack", *OF_GOOGLE, "hosts")
    HOST = tuple(dict.fromkeys(key for kind in (SshHost, GoogleHost) for key in keys_of(kind) if key != "kind"))

    def where(self, path: Path) -> str:
        return Document.where(self, path[1:] if path[0] == "google" and len(path) > 1 else path)

    def unknown(self) -> list[str]:
        """Say which keys it has that version 1 had not: `of_version_2` leaves them out."""
        hosts = self.data.get("hosts")
        found = [unknown_key(self, (key,), value, self.TOP) for key, value in self.data.items() if key not in self.TOP]
        for name, host in hosts.items() if isinstance(hosts, dict) else ():
            for key, value in host.items() if isinstance(host, dict) else ():
                if key not in self.HOST:
                    found.append(unknown_key(self, ("hosts", name, key), value, self.HOST))
        return found


def of_version_2(old: Any) -> Any:
    """Turn plain data of version 1, whose hosts had every field, "none" in those of Google's too, into version 2.

    A host that gave its address and its keys was one of one's own. What version 1 knew and is wrong stays, to be found
    by version 2.
    """
    hosts = old.get("hosts")
    kinds = {name: _kind_of(each) for name, each in hosts.items()} if isinstance(hosts, dict) else {}
    new = {key: old[key] for key in ("stack", "hosts") if key in old} | {"schema": SCHEMA}
    google = {key: old[key] for key in OF_GOOGLE if key in old}
    secrets = google.get("secret_ids")
    if (
        "ssh" not in kinds.values()
        or "google" in kinds.values()
        or (isinstance(secrets, dict) and secrets.get("hub_token"))
    ):
        new["google"] = google
    return new | (
        {"hosts": {name: _host_of_version_2(hosts[name], kind) for name, kind in kinds.items()}} if kinds else {}
    )


def _kind_of(old: Any) -> str:
    is_written = isinstance(old, dict) and old.get("ssh_address") is not None and old.get("known_hosts") is not None
    return "ssh" if is_written else "google"


def _host_of_version_2(old: Any, kind: str) -> Any:
    if not isinstance(old, dict):
        return old
    known = keys_of(SshHost if kind == "ssh" else GoogleHost)
    return {**{key: value for key, value in old.items() if key in known}, "kind": kind}


def _disagreements(inventory: Inventory) -> Iterator[str]:
    """Say what two fields that are right by themselves cannot both say."""
    named: dict[str, str] = {}
    for name, host in inventory.hosts.items():
        if (other := named.setdefault(host.name, name)) != name:
            yield f"hosts.{name}.name: the name of hosts.{other} too, got {host.name}. Give each a name of its own."
        if isinstance(host, GoogleHost) and inventory.google is None:
            yield f"google: missing. Give project, zone and secret_ids: hosts.{name} is of kind google."
        if host.gateway_clients and host.gateway_keys is None:
            yield (
                f"hosts.{name}.gateway_clients: open to whoever is there, and gateway_keys is missing. Give the keys "
                "that clients must send: axion:gatewayApiKeys of the stack, or a file of the host."
            )
