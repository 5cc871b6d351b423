"""Public addresses: those that are reserved stay, those that are not are others after every start.

Google, "Configure static external IP addresses" and "IP addresses": an ephemeral address is released when the instance
stops, and the instance gets a new one when it starts again.
"""

import ipaddress
from collections.abc import Iterator
from typing import Any

from tests.support.fakes.cloud.call import Call, fingerprint
from tests.support.fakes.cloud.errors import ApiError, invalid_field
from tests.support.fakes.cloud.operations import Collection
from tests.support.fakes.cloud.places import check_place
from tests.support.fakes.cloud.state import PREFIX, State

Json = dict[str, Any]
RESERVED, EPHEMERAL = ipaddress.IPv4Address("203.0.113.10"), ipaddress.IPv4Address("198.51.100.10")


def _address(call: Call, path: str, body: Json) -> Json:
    check_place(call)
    if body.get("addressType", "EXTERNAL") != "EXTERNAL":
        raise invalid_field("resource.addressType", body["addressType"], "This cloud reserves external addresses only.")
    taken = {one["address"] for _, one in call.state.under(f"projects/{call.project}", "addresses")}
    labels = fingerprint(body.get("labels", {}))
    defaults = {"addressType": "EXTERNAL", "networkTier": "PREMIUM", "labelFingerprint": labels, "status": "RESERVED"}
    if "address" in body:
        return {**defaults, **body, **_promoted(call, body["address"], taken)}
    free = next(str(RESERVED + number) for number in range(len(taken) + 1) if str(RESERVED + number) not in taken)
    return {"address": free, **defaults, **body}


def _promoted(call: Call, wanted: str, taken: set[str]) -> Json:
    """An address of one's own choice must be one that an instance of this project has and that is not reserved yet."""
    if wanted in taken:
        raise ApiError(409, "IP_IN_USE_BY_ANOTHER_RESOURCE", f"IP '{wanted}' is already reserved.")
    for path, instance in call.state.under(f"projects/{call.project}", "instances"):
        if any(config.get("natIP") == wanted for config in _configs(instance)):
            return {"status": "IN_USE", "users": [PREFIX + path]}
    raise invalid_field("resource.address", wanted, "It is not an ephemeral address of an instance in this project.")


ADDRESSES = Collection(name="addresses", singular="address", prepare=_address).register()


def _configs(instance: Json) -> Iterator[Json]:
    for card in instance["networkInterfaces"]:
        yield from card.get("accessConfigs", [])


def _reserved(state: State, address: str) -> Json | None:
    return next(
        (one for path, one in state.resources.items() if "/addresses/" in path and one["address"] == address), None
    )


def take(call: Call, path: str, address: str, field: str) -> None:
    """An instance takes a reserved address of its region that nobody else has; the first sentence is Google's."""
    region = call.parameters["zone"].rpartition("-")[0]
    found = _reserved(call.state, address)
    if found is None or f"/regions/{region}/" not in found["selfLink"]:
        why = f"The specified external IP address '{address}' was not found in region '{region}'."
        raise invalid_field(field, address, why)
    others = [user for user in found.get("users", []) if user != PREFIX + path]
    if others:
        raise ApiError(400, "IP_IN_USE_BY_ANOTHER_RESOURCE", f"External IP address: {address} is already in-use.")
    found.update(status="IN_USE", users=[PREFIX + path])


def give_ephemeral(state: State, instance: Json) -> None:
    """What a start does: every access config without a reserved address gets a new one."""
    for config in _configs(instance):
        if _reserved(state, config.get("natIP", "")) is None:
            config["natIP"] = str(EPHEMERAL + state.addresses_given)
            state.addresses_given += 1


def drop_ephemeral(state: State, instance: Json) -> None:
    """What a stop does: only reserved addresses stay."""
    for config in _configs(instance):
        if _reserved(state, config.get("natIP", "")) is None:
            config.pop("natIP", None)


def let_go(state: State, path: str, configs: list[Json]) -> None:
    """What a deletion does: the reserved addresses are free again."""
    for config in configs:
        found = _reserved(state, config.get("natIP", ""))
        if found is not None:
            found.update(status="RESERVED", users=[user for user in found.get("users", []) if user != PREFIX + path])


def configs_of(instance: Json) -> list[Json]:
    """All access configs of an instance."""
    return list(_configs(instance))
