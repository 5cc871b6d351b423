"""Network cards of instances: which subnet, which address, which public address."""

import ipaddress
from typing import Any

from tests.support.fakes.cloud import addresses, rules
from tests.support.fakes.cloud.call import Call, fingerprint
from tests.support.fakes.cloud.errors import ApiError, invalid_field
from tests.support.fakes.cloud.networks import referenced
from tests.support.fakes.cloud.others import check_shared

Json = dict[str, Any]


def new_card(call: Call, path: str, index: int, card: Json, machine: rules.Machine) -> Json:
    rules.check_network_card(machine, card)
    field = f"resource.networkInterfaces[{index}]"
    region = call.parameters["zone"].rpartition("-")[0]
    if "subnetwork" not in card:
        raise invalid_field(f"{field}.subnetwork", "", "A network in custom subnet mode needs a subnetwork.")
    reference = call.resolve(card["subnetwork"], f"regions/{region}/subnetworks")
    check_shared(call, reference, f"{field}.subnetwork")
    card["subnetwork"] = referenced(call, reference, f"{field}.subnetwork", "subnetwork")
    subnet = call.state.get(reference)
    if f"/regions/{region}/" not in reference:
        raise invalid_field(f"{field}.subnetwork", reference, f"The subnetwork is not in region {region}.")
    card["network"] = subnet["network"]
    card["networkIP"] = _free_address(call, subnet, card.get("networkIP"), f"{field}.networkIP")
    for number, config in enumerate(card.get("accessConfigs", [])):
        card["accessConfigs"][number] = access_config(call, path, config, f"{field}.accessConfigs[{number}].natIP")
    return {"kind": "compute#networkInterface", "name": f"nic{index}", "stackType": "IPV4_ONLY", **card} | {
        "fingerprint": fingerprint(card)
    }


def access_config(call: Call, path: str, given: Json, field: str = "natIP") -> Json:
    """A public address: a reserved one, or whatever the next start brings."""
    defaults = {
        "kind": "compute#accessConfig",
        "type": "ONE_TO_ONE_NAT",
        "name": "external-nat",
        "networkTier": "PREMIUM",
    }
    if given.get("natIP"):
        addresses.take(call, path, given["natIP"], field)
    return {**defaults, **given}


def _free_address(call: Call, subnet: Json, wanted: str | None, field: str) -> str:
    cidr = ipaddress.IPv4Network(subnet["ipCidrRange"])
    instances = (one for _, one in call.state.under(f"projects/{call.project}", "instances"))
    used = {card["networkIP"] for one in instances for card in one["networkInterfaces"]}
    if wanted is None:
        return next(str(cidr[number]) for number in range(2, cidr.num_addresses) if str(cidr[number]) not in used)
    if ipaddress.IPv4Address(wanted) not in cidr:
        raise invalid_field(field, wanted, f"IP address is outside the subnetwork's range {cidr}.")
    if wanted in used:
        raise ApiError(
            400, "IP_IN_USE_BY_ANOTHER_RESOURCE", f"IP '{wanted}' is already being used by another resource."
        )
    return wanted
