"""A network of the stack's own: private, with a way out and no way in but the ones asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute

from deployment.addresses import IAP_RANGE
from infra.naming import Naming, owned_by


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkArgs:
    """What a network needs to know."""

    naming: Naming
    region: str
    cidr: str
    flow_logs: bool
    gateway_ports: tuple[str, ...]
    gateway_cidrs: tuple[str, ...]
    public_cidrs: Mapping[str, tuple[str, ...]]
    """Per host with an external address, who may use it."""


class Network(pulumi.ComponentResource):
    """VPC, subnet, router with NAT, and the firewall's few openings."""

    subnetwork: pulumi.Output[str]
    egress: compute.RouterNat
    """A host that starts before it cannot reach the internet."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:Network", name, None, opts)
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
        self._firewall(name, args, vpc)
        self.subnetwork = subnetwork.self_link
        self.register_outputs({"subnetwork": self.subnetwork})

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

    def _firewall(self, name: str, args: NetworkArgs, vpc: compute.Network) -> None:
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
        vpc: compute.Network,
        what: str,
        sources: tuple[str, ...],
        ports: tuple[str, ...],
        tag: str,
    ) -> None:
        compute.Firewall(
            f"{name}-allow-{what}",
            name=args.naming.name("allow", what),
            network=vpc.self_link,
            direction="INGRESS",
            allows=[compute.FirewallAllowArgs(protocol="tcp", ports=list(ports))],
            source_ranges=list(sources),
            target_tags=[tag],
            opts=owned_by(self),
        )
