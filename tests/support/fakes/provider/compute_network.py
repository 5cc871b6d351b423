"""Network, Subnetwork, Router, RouterNat, Firewall."""

from ipaddress import IPv4Network
from typing import Any, ClassVar

from tests.support.fakes.provider.fields import f, from_rest, nested, only, to_rest
from tests.support.fakes.provider.kinds import Kind, Step
from tests.support.fakes.provider.rest import Rest, RestError

Json = dict[str, Any]
MADE = only("selfLink", "creationTimestamp")


class Network(Kind):
    """A VPC."""

    token = "gcp:compute/network:Network"
    item = "projects/{project}/global/networks/{name}"
    fields = (
        *(f("name"), f("description"), f("autoCreateSubnetworks"), f("mtu"), f("internalIpv6Range")),
        *(f("enableUlaInternalIpv6"), f("networkFirewallPolicyEnforcementOrder")),
        f("routingMode", "routingConfig.routingMode"),
        f("bgpBestPathSelectionMode", "routingConfig.bgpBestPathSelectionMode"),
        f("numericId", "id", output_only=True),
        f("networkId", "id", output_only=True),
        f("gatewayIpv4", "gatewayIPv4", output_only=True),
        *only("selfLink"),
    )
    client_only = frozenset({"deletionPolicy", "deleteDefaultRoutesOnCreate"})
    defaults: ClassVar[Json] = {
        "deletionPolicy": "DELETE",
        "autoCreateSubnetworks": True,
        "deleteDefaultRoutesOnCreate": False,
    }
    filled_in = frozenset(
        {"mtu", "routingMode", "bgpBestPathSelectionMode", "networkFirewallPolicyEnforcementOrder", "internalIpv6Range"}
    )
    patched = frozenset({"routingMode", "networkFirewallPolicyEnforcementOrder", "bgpBestPathSelectionMode"})

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Deleting routes needs routes, which the cloud does not have."""
        if inputs.get("deleteDefaultRoutesOnCreate"):
            return [("deleteDefaultRoutesOnCreate", "not offered by the stand-in, got true. Leave it out.")]
        return []


def _set_private_access(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    wanted = {"privateIpGoogleAccess": new.get("privateIpGoogleAccess", False)}
    rest.compute("POST", f"{resource_id}/setPrivateIpGoogleAccess", wanted)


def _expand(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    rest.compute("POST", f"{resource_id}/expandIpCidrRange", {"ipCidrRange": new["ipCidrRange"]})


LOG_CONFIG = nested(
    "logConfig",
    *(f("aggregationInterval"), f("flowSampling"), f("metadata"), f("metadataFields"), f("filterExpr")),
)


class Subnetwork(Kind):
    """A subnet; its range can grow in place, which the real provider decides by looking at both."""

    token = "gcp:compute/subnetwork:Subnetwork"
    item = "projects/{project}/regions/{region}/subnetworks/{name}"
    fields = (
        *(f("name"), f("description"), f("ipCidrRange"), f("network"), f("privateIpGoogleAccess")),
        *(f("privateIpv6GoogleAccess"), f("purpose"), f("role"), f("stackType"), LOG_CONFIG),
        nested("secondaryIpRanges", f("rangeName"), f("ipCidrRange"), is_list=True),
        f("subnetworkId", "id", back=int, output_only=True),
        *only("gatewayAddress", "fingerprint", "state"),
        *MADE,
    )
    patched = frozenset({"logConfig", "role", "stackType", "secondaryIpRanges", "privateIpv6GoogleAccess"})
    steps = (
        Step(inputs=frozenset({"privateIpGoogleAccess"}), run=_set_private_access),
        Step(inputs=frozenset({"ipCidrRange"}), run=_expand),
    )
    filled_in = frozenset(
        {"privateIpGoogleAccess", "privateIpv6GoogleAccess", "purpose", "stackType", "secondaryIpRanges"}
    )
    empty_when_absent = frozenset({"logConfig"})

    def outgrown(self, path: str, new: object, old: object) -> bool:
        """A range grows in place only."""
        return path == "ipCidrRange" and not IPv4Network(str(old)).subnet_of(IPv4Network(str(new)))

    def body(self, rest: Rest, inputs: Json) -> Json:
        """A log configuration means that logs are wanted."""
        body = to_rest(self.fields, inputs)
        if "logConfig" in body:
            body["logConfig"] = {"enable": True, **body["logConfig"]}
        return body

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """Without logs there is no log configuration."""
        body = self.get(rest, resource_id)
        if body is None:
            return None
        if not body.get("logConfig", {}).get("enable"):
            body.pop("logConfig", None)
        return {**self.variables(resource_id), **from_rest(self.fields, body)}

    def patch(self, rest: Rest, resource_id: str, inputs: Json, changed: frozenset[str]) -> None:
        """With the fingerprint that was just read, as the API demands."""
        current = self.get(rest, resource_id) or {}
        body = to_rest(self.fields, {name: inputs[name] for name in changed if name in inputs})
        if "logConfig" in changed:
            body["logConfig"] = {"enable": "logConfig" in inputs, **body.get("logConfig", {})}
        rest.compute("PATCH", resource_id, {**body, "fingerprint": current.get("fingerprint", "")})


class Router(Kind):
    """A Cloud Router."""

    token = "gcp:compute/router:Router"
    item = "projects/{project}/regions/{region}/routers/{name}"
    fields = (
        *(f("name"), f("description"), f("network"), f("encryptedInterconnectRouter")),
        nested("bgp", f("asn"), f("advertiseMode"), f("advertisedGroups"), f("keepaliveInterval")),
        *MADE,
    )
    patched = frozenset({"description", "bgp"})


NAT_FIELDS = (
    *(f("name"), f("natIpAllocateOption"), f("natIps"), f("drainNatIps"), f("sourceSubnetworkIpRangesToNat")),
    *(f("minPortsPerVm"), f("maxPortsPerVm"), f("enableDynamicPortAllocation"), f("udpIdleTimeoutSec")),
    *(f("tcpEstablishedIdleTimeoutSec"), f("tcpTransitoryIdleTimeoutSec"), f("tcpTimeWaitTimeoutSec")),
    *(f("icmpIdleTimeoutSec"), f("enableEndpointIndependentMapping"), f("type"), f("endpointTypes")),
    f("autoNetworkTier"),
    nested("logConfig", f("enable"), f("filter")),
    nested("subnetworks", f("name"), f("sourceIpRangesToNats", "sourceIpRangesToNat"), is_list=True),
)


class RouterNat(Kind):
    """A NAT: no resource of its own, but one of the router's, changed by patching the router."""

    token = "gcp:compute/routerNat:RouterNat"
    item = "{project}/{region}/{router}/{name}"
    fields = NAT_FIELDS
    client_only = frozenset({"deletionPolicy", "router"})
    patched = frozenset(field.name for field in NAT_FIELDS) - {"name", "type", "endpointTypes"}
    filled_in = frozenset({"type", "endpointTypes", "autoNetworkTier", "minPortsPerVm", "natIpAllocateOption"})
    empty_when_absent = frozenset({"subnetworks", "logConfig"})

    def _router(self, inputs: Json) -> str:
        return "projects/{project}/regions/{region}/routers/{router}".format_map(inputs)

    def _nats(self, rest: Rest, inputs: Json) -> list[Json]:
        router = rest.call("GET", self.api + self._router(inputs))
        return list(router.get("nats", []))

    def _put(self, rest: Rest, inputs: Json, nats: list[Json]) -> None:
        rest.compute("PATCH", self._router(inputs), {"nats": nats})

    def id_of(self, inputs: Json) -> str:
        """The router is given by name or by link."""
        return super().id_of({**inputs, "router": inputs["router"].rpartition("/")[2]})

    def create(self, rest: Rest, inputs: Json) -> str:
        """Add one NAT to those that the router has."""
        inputs = {**inputs, "router": inputs["router"].rpartition("/")[2]}
        nats = self._nats(rest, inputs)
        if inputs["name"] in [one["name"] for one in nats]:
            raise RestError(409, "alreadyExists", f"NAT {inputs['name']} already exists in {inputs['router']}")
        self._put(rest, inputs, [*nats, to_rest(self.fields, inputs)])
        return self.id_of(inputs)

    def get(self, rest: Rest, resource_id: str) -> Json | None:
        """The NAT inside its router."""
        inputs = self.variables(resource_id)
        router = rest.get(self.api + self._router(inputs)) or {}
        return next((one for one in router.get("nats", []) if one["name"] == inputs["name"]), None)

    def update(self, rest: Rest, resource_id: str, old: Json, inputs: Json, changed: frozenset[str]) -> None:
        """Write this NAT again among the others."""
        where = self.variables(resource_id)
        body = to_rest(self.fields, inputs)
        others = [one for one in self._nats(rest, where) if one["name"] != where["name"]]
        self._put(rest, where, [*others, body])

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """Take this NAT out."""
        where = self.variables(resource_id)
        self._put(rest, where, [one for one in self._nats(rest, where) if one["name"] != where["name"]])


RULE = (f("protocol", "IPProtocol"), f("ports"))


class Firewall(Kind):
    """A firewall rule."""

    token = "gcp:compute/firewall:Firewall"
    item = "projects/{project}/global/firewalls/{name}"
    fields = (
        *(f("name"), f("description"), f("network"), f("direction"), f("disabled"), f("priority")),
        *(f("sourceRanges"), f("destinationRanges"), f("sourceTags"), f("targetTags")),
        *(f("sourceServiceAccounts"), f("targetServiceAccounts")),
        nested("allows", *RULE, rest="allowed", is_list=True),
        nested("denies", *RULE, rest="denied", is_list=True),
        nested("logConfig", f("metadata")),
        *MADE,
    )
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "priority": 1000}
    patched = frozenset(
        {
            *("description", "disabled", "priority", "sourceRanges", "destinationRanges", "sourceTags"),
            *("targetTags", "sourceServiceAccounts", "targetServiceAccounts", "allows", "denies", "logConfig"),
        }
    )
    filled_in = frozenset({"direction", "sourceRanges", "destinationRanges"})
    empty_when_absent = frozenset({"allows", "denies", "sourceTags", "targetTags", "logConfig"})

    def body(self, rest: Rest, inputs: Json) -> Json:
        """A log configuration means that logs are wanted."""
        body = to_rest(self.fields, inputs)
        return {**body, "logConfig": {"enable": "logConfig" in inputs, **body.get("logConfig", {})}}

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """Without logs there is no log configuration."""
        found = super().read(rest, resource_id)
        if found is not None and not found.get("logConfig"):
            found.pop("logConfig", None)
        return found

    def patch(self, rest: Rest, resource_id: str, inputs: Json, changed: frozenset[str]) -> None:
        """The API wants the name in the body too."""
        given = {name: inputs.get(name, self.empty(name)) for name in changed}
        body = to_rest(self.fields, given)
        if "logConfig" in changed:
            body["logConfig"] = {"enable": "logConfig" in inputs, **inputs.get("logConfig", {})}
        rest.compute("PATCH", resource_id, {"name": self.variables(resource_id)["name"], **body})
