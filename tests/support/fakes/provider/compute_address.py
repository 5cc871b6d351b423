"""Address: a public address that stays when its instance stops."""

from typing import Any, ClassVar

from tests.support.fakes.provider.compute_disk import set_labels
from tests.support.fakes.provider.fields import f, only
from tests.support.fakes.provider.kinds import Kind, Step

Json = dict[str, Any]


class Address(Kind):
    """A reserved address: all but its labels makes a new one (resource_compute_address.go)."""

    token = "gcp:compute/address:Address"
    item = "projects/{project}/regions/{region}/addresses/{name}"
    fields = (
        *(f("name"), f("description"), f("address"), f("addressType"), f("networkTier"), f("labels"), f("ipVersion")),
        f("addressId", "id", output_only=True),
        *only("selfLink", "creationTimestamp", "labelFingerprint", "users"),
    )
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "addressType": "EXTERNAL"}
    steps = (Step(inputs=frozenset({"labels"}), run=set_labels),)
    has_labels = True
    filled_in = frozenset({"address", "networkTier", "ipVersion"})
