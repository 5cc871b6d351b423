"""Networks, subnets, routers with their NATs, firewalls, addresses."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from tests.support.fakes.cloud.call import Call, fingerprint, same_bytes
from tests.support.fakes.cloud.errors import invalid, invalid_field
from tests.support.fakes.cloud.operations import Collection, users_of
from tests.support.fakes.cloud.places import check_place
from tests.support.fakes.cloud.state import PREFIX

Json = dict[str, Any]


def referenced(call: Call, reference: str, field: str, kind: str) -> str:
    """The URL of something that must exist."""
    path = call.resolve(reference)
    if path not in call.state.resources:
        raise invalid_field(field, reference, f"The referenced {kind} resource cannot be found.")
    return PREFIX + path


def _network(call: Call, path: str, body: Json) -> Json:
    if "IPv4Range" in body:
        raise invalid("Legacy networks are no longer supported.")
    routing = {"routingMode": "REGIONAL", "bgpBestPathSelectionMode": "LEGACY", **body.get("routingConfig", {})}
    defaults = {"autoCreateSubnetworks": True, "mtu": 1460}
    order = {"networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL"}
    if not 1300 <= body.get("mtu", 1460) <= 8896:
        raise invalid_field("resource.mtu", body["mtu"], "It must be between 1300 and 8896.")
    return {**defaults, **order, **body, "routingConfig": routing, "selfLinkWithId": PREFIX + path}


def _subnetwork(call: Call, path: str, body: Json) -> Json:
    check_place(call)
    network = referenced(call, body.get("network", ""), "resource.network", "network")
    try:
        wanted = ipaddress.IPv4Network(body.get("ipCidrRange", ""))
    except ValueError as error:
        raise invalid_field("resource.ipCidrRange", body.get("ipCidrRange", ""), f"Invalid CIDR: {error}.") from None
    for other, one in call.state.under(f"projects/{call.project}", "subnetworks"):
        if one["network"] == network and wanted.overlaps(ipaddress.IPv4Network(one["ipCidrRange"])):
            region = other.split("/")[3]
            where = f"existing subnetwork '{one['name']}' in region '{region}'"
            message = f"Invalid IPCidrRange: {wanted} conflicts with {where}."
            raise invalid(message)
    flow_logs = body.get("logConfig", {}).get("enable", body.get("enableFlowLogs", False))
    return {
        "privateIpGoogleAccess": False,
        "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
        "purpose": "PRIVATE",
        "stackType": "IPV4_ONLY",
        **body,
        "enableFlowLogs": flow_logs,
        "logConfig": {**body.get("logConfig", {}), "enable": flow_logs},
        "network": network,
        "gatewayAddress": str(wanted.network_address + 1),
        "fingerprint": fingerprint(body),
    }


def _router(call: Call, path: str, body: Json) -> Json:
    check_place(call)
    _check_nats(call, body)
    return {**body, "network": referenced(call, body["network"], "resource.network", "network")}


def _check_nats(call: Call, body: Json) -> None:
    for index, nat in enumerate(body.get("nats", [])):
        field = f"resource.nats[{index}]"
        if nat.get("sourceSubnetworkIpRangesToNat") == "LIST_OF_SUBNETWORKS" and not nat.get("subnetworks"):
            raise invalid_field(f"{field}.subnetworks", "", "At least one subnetwork is required.")
        for subnet in nat.get("subnetworks", []):
            subnet["name"] = referenced(call, subnet["name"], f"{field}.subnetworks", "subnetwork")
        if nat.get("natIpAllocateOption") == "MANUAL_ONLY" and not nat.get("natIps"):
            raise invalid_field(f"{field}.natIps", "", "At least one address is required.")
        for name, value in (
            ("endpointTypes", ["ENDPOINT_TYPE_VM"]),
            ("type", "PUBLIC"),
            ("autoNetworkTier", "PREMIUM"),
        ):
            nat.setdefault(name, value)


def _firewall(call: Call, path: str, body: Json) -> Json:
    if ("allowed" in body) == ("denied" in body):
        raise invalid("A firewall must have exactly one of 'allowed' and 'denied'.")
    direction = body.get("direction", "INGRESS")
    for name in ("sourceRanges", "destinationRanges"):
        for cidr in body.get(name, []):
            try:
                ipaddress.ip_network(cidr)
            except ValueError:
                raise invalid_field(f"resource.{name}", cidr, "Must be a valid CIDR range.") from None
    if direction == "EGRESS" and ("sourceRanges" in body or "sourceTags" in body):
        raise invalid("Egress firewalls take destination ranges only.")
    sources = ("sourceRanges", "sourceTags", "sourceServiceAccounts", "destinationRanges")
    everywhere = "sourceRanges" if direction == "INGRESS" else "destinationRanges"
    return {
        "direction": "INGRESS",
        "priority": 1000,
        "disabled": False,
        "logConfig": {"enable": False},
        **({} if any(name in body for name in sources) else {everywhere: ["0.0.0.0/0"]}),
        **body,
        "network": referenced(call, body.get("network", "global/networks/default"), "resource.network", "network"),
    }


def _instances_in(call: Call, path: str) -> Iterator[str]:
    for user, one in call.state.under(f"projects/{call.project}", "instances"):
        if any(card.get("subnetwork") == PREFIX + path for card in one["networkInterfaces"]):
            yield user


def _list_in_network(call: Call, subnetwork: Json) -> None:
    call.state.get(call.resolve(subnetwork["network"])).setdefault("subnetworks", []).append(subnetwork["selfLink"])


def _unlist(call: Call, path: str) -> None:
    for _, network in call.state.under(f"projects/{call.project}", "networks"):
        if PREFIX + path in network.get("subnetworks", []):
            network["subnetworks"].remove(PREFIX + path)


def _fresh_subnetwork(call: Call, subnetwork: Json) -> None:
    if not same_bytes(str(call.body.get("fingerprint", subnetwork["fingerprint"])), subnetwork["fingerprint"]):
        raise invalid_field("resource.fingerprint", call.body["fingerprint"], "Fingerprint is stale.")


NETWORKS = Collection(
    name="networks",
    singular="network",
    prepare=_network,
    users=users_of("network", "subnetworks", "firewalls", "routers"),
).register()
SUBNETWORKS = Collection(
    name="subnetworks",
    singular="subnetwork",
    prepare=_subnetwork,
    finish=_list_in_network,
    users=_instances_in,
    gone=_unlist,
    patched=_fresh_subnetwork,
).register()
ROUTERS = Collection(
    name="routers", singular="router", prepare=_router, patched=lambda call, router: _check_nats(call, call.body)
).register()
FIREWALLS = Collection(name="firewalls", singular="firewall", prepare=_firewall).register()


@SUBNETWORKS.changes("setPrivateIpGoogleAccess")
def set_private_access(call: Call, subnetwork: Json) -> Json:
    """Switch private access to Google on or off."""
    return call.body


@SUBNETWORKS.changes("expandIpCidrRange")
def expand_range(call: Call, subnetwork: Json) -> Json:
    """Grow a subnet; it cannot shrink."""
    old, new = (ipaddress.IPv4Network(one["ipCidrRange"]) for one in (subnetwork, call.body))
    if not old.subnet_of(new) or old == new:
        raise invalid_field("ipCidrRange", new, f"New range must contain the old one, {old}.")
    return call.body
