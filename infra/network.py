"""A network of the stack's own, or a subnet that exists: private, and no way in but the ones asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute

from deployment.stack.addresses import IAP_RANGE
from infra.naming import Naming, owned_by

# How Google's answers spell what is given here by its path: any other spelling would seem changed.
GOOGLE = "https://www.googleapis.com/compute/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkArgs:
    """What a network needs to know."""

    naming: Naming
    project: str
    region: str
    cidr: str
    flow_logs: bool
    gateway_ports: tuple[str, ...]
    gateway_cidrs: tuple[str, ...]
    public_cidrs: Mapping[str, tuple[str, ...]]
    """Per host with an external address, who may use it."""
    given_subnetwork: str | None = None
    """The full name of a subnet that exists: then no network is made."""
    given_vpc: str | None = None
    """The name of its VPC, if the firewall shall be opened there."""


class Network(pulumi.ComponentResource):
    """VPC, subnet, router with NAT, and the firewall's few openings."""

    subnetwork: pulumi.Output[str]
    egress: compute.RouterNat | None = None
    """A host that starts before it cannot reach the internet. None: the way out is the subnet's own."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:Network", name, None, opts)
        if args.given_subnetwork is None:
            self._own(name, args)
        else:
            self.subnetwork = pulumi.Output.from_input(f"{GOOGLE}/{args.given_subnetwork}")
            if args.given_vpc is not None:
                link = f"{GOOGLE}/projects/{args.project}/global/networks/{args.given_vpc}"
                self._firewall(name, args, pulumi.Output.from_input(link))
        self.register_outputs({"subnetwork": self.subnetwork})

    def _own(self, name: str, args: NetworkArgs) -> None:
        naming = args.naming
        vpc = compute.Network(
            f"{name}-vpc",
            name=naming.name("vpc"),
            auto_create_subnetworks=False,
            routing_mode="REGIONAL",
            opts=owned_by(self),
        )
        subnetwork = self._subnetwork(name, args, vpc)
        router = compute.Router(
            f"{name}-router",
            name=naming.name("router"),
            network=vpc.self_link,
            region=args.region,
            opts=owned_by(self),
        )
        self.egress = compute.RouterNat(
            f"{name}-nat",
            name=naming.name("nat"),
            router=router.name,
            region=args.region,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
            subnetworks=[
                compute.RouterNatSubnetworkArgs(name=subnetwork.self_link, source_ip_ranges_to_nats=["ALL_IP_RANGES"])
            ],
            log_config=compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
            opts=owned_by(self),
        )
        self._firewall(name, args, vpc.self_link)
        self.subnetwork = subnetwork.self_link

    def _subnetwork(self, name: str, args: NetworkArgs, vpc: compute.Network) -> compute.Subnetwork:
        logs = compute.SubnetworkLogConfigArgs(
            aggregation_interval="INTERVAL_10_MIN", flow_sampling=0.5, metadata="INCLUDE_ALL_METADATA"
        )
        return compute.Subnetwork(
            f"{name}-subnet",
            name=args.naming.name("subnet"),
            network=vpc.self_link,
            region=args.region,
            ip_cidr_range=args.cidr,
            # Google's interfaces without NAT: Secret Manager, storage, logs.
            private_ip_google_access=True,
            log_config=logs if args.flow_logs else None,
            opts=owned_by(self),
        )

    def _firewall(self, name: str, args: NetworkArgs, vpc: pulumi.Output[str]) -> None:
        self._allow(name, args, vpc, "iap-ssh", (IAP_RANGE,), ("22",), args.naming.name("host"))
        if args.gateway_cidrs:
            self._allow(name, args, vpc, "gateway", args.gateway_cidrs, args.gateway_ports, args.naming.name("host"))
        for host, cidrs in args.public_cidrs.items():
            tag = args.naming.name("host", host)
            self._allow(name, args, vpc, f"public-{host}", cidrs, args.gateway_ports, tag)

    def _allow(  # noqa: PLR0913, PLR0917 - one opening in one line each
        self,
        name: str,
        args: NetworkArgs,
        vpc: pulumi.Output[str],
        what: str,
        sources: tuple[str, ...],
        ports: tuple[str, ...],
        tag: str,
    ) -> None:
        compute.Firewall(
            f"{name}-allow-{what}",
            name=args.naming.name("allow", what),
            network=vpc,
            direction="INGRESS",
            allows=[compute.FirewallAllowArgs(protocol="tcp", ports=list(ports))],
            source_ranges=list(sources),
            target_tags=[tag],
            opts=owned_by(self),
        )
