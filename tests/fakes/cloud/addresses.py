"""Public addresses that are reserved, and who has them."""

from typing import Any

from tests.fakes.cloud.call import Call, answers, fingerprint
from tests.fakes.cloud.disks import set_labels
from tests.fakes.cloud.operations import Collection
from tests.fakes.cloud.places import check_place

Json = dict[str, Any]


def _address(call: Call, path: str, body: Json) -> Json:
    check_place(call)
    number = sum(1 for _ in call.state.under(f"projects/{call.project}", "addresses")) + 10
    defaults = {
        "addressType": "EXTERNAL",
        "status": "RESERVED",
        "labelFingerprint": fingerprint(body.get("labels", {})),
    }
    return {"address": f"203.0.113.{number}", **defaults, **body}


ADDRESSES = Collection(name="addresses", singular="address", prepare=_address).register()


@answers("compute.addresses.setLabels")
def set_address_labels(call: Call) -> Json:
    """Replace an address's labels."""
    return set_labels(call, ADDRESSES)
