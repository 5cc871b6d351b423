"""Which resources of the next `up` are asked for, and in what words they are imported: without a cloud."""

from typing import Any

import pytest

from build.cloud.adopt import Adoption, can_exist
from build.cloud.checkpoint import Resource

STACK = "urn:pulumi:dev::axion::"
VPC = f"{STACK}axion:infra:Network$gcp:compute/network:Network::vpc"
PARENT = f"{STACK}axion:infra:Network::network"
SUBNET: dict[str, Any] = {
    "urn": f"{STACK}axion:infra:Network$gcp:compute/subnetwork:Subnetwork::subnet",
    "type": "gcp:compute/subnetwork:Subnetwork",
    "parent": PARENT,
    "dependencies": [VPC],
}


@pytest.mark.parametrize(
    ("present", "changes", "can"),
    [
        ((PARENT, VPC), {}, True),
        ((PARENT,), {}, False),  # what it needs was never there
        ((VPC,), {}, False),  # its component is not registered: nothing below it was begun
        ((PARENT,), {"dependencies": None}, True),
        ((PARENT, VPC), {"type": "gcp:projects/iAMMember:IAMMember"}, False),  # granted again instead
        ((PARENT, VPC), {"type": "axion:infra:Network"}, False),
    ],
)
def test_only_what_could_have_been_created_is_asked_for(
    present: tuple[str, ...], changes: dict[str, Any], can: bool
) -> None:
    assert can_exist(Resource.parse({**SUBNET, **changes}), present) is can


def test_an_import_says_what_would_happen_without_it() -> None:
    adoption = Adoption(type="gcp:compute/disk:Disk", name="data", id="projects/p/zones/z/disks/d", parent=PARENT)
    assert adoption.sentence() == (
        "import Disk data (would be created): the cloud has it as projects/p/zones/z/disks/d"
    )
