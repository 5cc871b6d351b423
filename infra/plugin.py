"""The components as other Pulumi programs see them, in any language: plain inputs, and defaults where we have some.

Pulumi reads the schema from the annotations here. What it cannot read stays inside: our own classes with rules of their
own, tuples, and resources as inputs.
"""

from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi.provider.experimental import component_provider_host

from deployment.stack.addresses import private_range
from deployment.stack.data import disk_name
from deployment.stack.one_host import one_host
from deployment.stack.settings import NetworkSettings
from infra import host, identity, model_store, network
from infra.naming import Naming
from infra.startup import startup_script


class NetworkInputs(TypedDict):
    """Where the network is, and who may come in."""

    stack: str
    """Part of every name and label, as in axion-dev-vpc."""
    project: str
    region: str
    cidr: NotRequired[str]
    """The subnet's private range; 10.20.0.0/24 if not given."""
    flow_logs: NotRequired[bool]
    gateway_ports: NotRequired[list[str]]
    gateway_cidrs: NotRequired[list[str]]
    """Private ranges that may reach the ports."""
    labels: NotRequired[dict[str, str]]


class Network(pulumi.ComponentResource):
    """A private network: a VPC, a subnet with a way out, and no way in but SSH through Identity-Aware Proxy."""

    subnetwork: pulumi.Output[str]
    """The subnet's link, for a Host."""

    def __init__(self, name: str, args: NetworkInputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:index:Network", name, None, opts)
        given = network.NetworkArgs(
            naming=_naming(args),
            project=args["project"],
            region=args["region"],
            cidr=private_range(args.get("cidr") or NetworkSettings().cidr),
            flow_logs=args.get("flow_logs", False),
            gateway_ports=tuple(args.get("gateway_ports", ())),
            gateway_cidrs=tuple(map(private_range, args.get("gateway_cidrs", ()))),
            public_cidrs={},
        )
        made = network.Network(name, given, pulumi.ResourceOptions(parent=self))
        # Whoever waits for the subnet waits for the way out, which a host needs at its first boot.
        assert made.egress is not None, "the way out belongs to a network that is made"
        self.subnetwork = pulumi.Output.all(made.subnetwork, made.egress.id).apply(lambda both: str(both[0]))
        self.register_outputs({"subnetwork": self.subnetwork})


class HostInputs(TypedDict):
    """What a host is, and where."""

    stack: str
    """Part of every name and label, as in axion-dev-main."""
    host: str
    project: str
    zone: str
    subnetwork: pulumi.Input[str]
    """A subnet of the zone's region with a way out: a Network's, or one that exists."""
    settings: dict[str, Any]
    """What a host may say in axion:hosts: machineType and, if wanted, spot, dataDiskGib and the others."""
    secrets: NotRequired[dict[str, pulumi.Input[str]]]
    """Full names of secrets that the host may read, by a short name."""
    labels: NotRequired[dict[str, str]]
    protect: NotRequired[bool]
    """Whether the data disk refuses to be deleted: yes, if not given."""
    kms_key: NotRequired[str]
    stop_role: NotRequired[str]


class Host(pulumi.ComponentResource):
    """An Axion machine with a data disk that outlives it, and an account that may do what it needs and no more."""

    instance_name: pulumi.Output[str]
    instance_id: pulumi.Output[str]
    internal_ip: pulumi.Output[str]
    account: pulumi.Output[str]
    """The address of its service account."""

    def __init__(self, name: str, args: HostInputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:index:Host", name, None, opts)
        one, naming, ours = one_host(args["settings"]), _naming(args), pulumi.ResourceOptions(parent=self)
        store = model_store.ModelStore(
            f"{name}-models",
            model_store.ModelStoreArgs(
                naming=naming,
                project=args["project"],
                region=args["zone"].rpartition("-")[0],
                zones={args["host"]: args["zone"]},
                disks={args["host"]: one.data_disk},
                bucket=False,
                deletable=() if args.get("protect", True) else (disk_name(args["stack"], args["host"]),),
                kms_key=args.get("kms_key"),
            ),
            ours,
        )
        who = identity.Identity(
            f"{name}-identity",
            identity.IdentityArgs(
                naming=naming,
                host=args["host"],
                project=args["project"],
                secrets={key: pulumi.Output.from_input(value) for key, value in args.get("secrets", {}).items()},
                bucket=None,
                given_account=one.settings.service_account,
                given_stop_role=args.get("stop_role"),
            ),
            ours,
        )
        made = host.AxionHost(
            name,
            host.AxionHostArgs(
                naming=naming,
                host=args["host"],
                zone=args["zone"],
                machine=one,
                data_disk=store.disks[args["host"]].self_link,
                data_disk_id=store.disks[args["host"]].disk_id,
                subnetwork=pulumi.Output.from_input(args["subnetwork"]),
                egress=None,
                email=who.email,
                member=who.member,
                stop_role=who.stop_role,
                startup_script=startup_script(),
                kms_key=args.get("kms_key"),
            ),
            ours,
        )
        self.instance_name, self.instance_id = made.instance_name, made.instance_id
        self.internal_ip, self.account = made.internal_ip, who.email
        outputs = ("instance_name", "instance_id", "internal_ip", "account")
        self.register_outputs({key: getattr(self, key) for key in outputs})


def _naming(args: NetworkInputs | HostInputs) -> Naming:
    return Naming(stack=args["stack"], labels=args.get("labels", {}))


if __name__ == "__main__":
    component_provider_host(name="axion", components=[Network, Host])
