"""Three stacks under Pulumi's mocks: the two that come along, and one that uses everything. Each runs once."""

from functools import cache
from typing import Any

from tests.support.pulumi_program import Recording, config_of, run_program

KEYS, TOKEN = "planted-gateway-key-93c1", "planted-hub-token-93c1"
HOST = {"machineType": "c4a-standard-32"}
FULL: dict[str, Any] = {
    **config_of("prod"),
    "axion:maxHourlyUsd": 10,
    "axion:allowUnknown": True,
    "axion:gatewayApiKeys": KEYS,
    "axion:hubToken": TOKEN,
    "axion:labels": {"team": "serving", "managed-by": "hand"},
    "axion:alerts": {"email": "me@example.com"},
    "axion:budget": {"monthlyAmount": 900, "billingAccount": "012345-6789AB-CDEF01"},
    "axion:hosts": {
        "alpha": {**HOST, "image": "projects/mine/global/images/axion-arm64-v3"},
        "beta": {
            **HOST,
            "zone": "us-central1-b",
            "spot": True,
            "maxRunHours": 2,
        },
    },
}


@cache
def recorded(stack: str) -> Recording:
    """What the program asked for: dev, prod or full."""
    if stack == "full":
        return run_program(FULL, stack="full", secrets=("axion:gatewayApiKeys", "axion:hubToken"))
    return run_program(config_of(stack), stack=stack)
