"""Faults that a test plants: the nth call of a method is slow, hangs, is cut off, is refused, or fails at the end."""

import re
import time
from dataclasses import dataclass

from tests.support.fakes.cloud.errors import ApiError, permission_denied, service_disabled
from tests.support.fakes.cloud.policies import concurrent_change
from tests.support.fakes.cloud.state import Settings

KINDS = ("error", "operation", "delay", "hang", "drop", "quota", "stockout", "permission", "disabled", "concurrent")


@dataclass(eq=False, kw_only=True)
class Fault:
    """`method` is an expression for method ids; `nth` counts matching calls from 1, 0 means every one of them."""

    method: str
    kind: str
    nth: int = 1
    path: str = ""
    seconds: float = 0.0
    code: int = 503
    reason: str = "backendError"
    message: str = "Backend Error"
    after_work: bool = True
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        """Refuse what would never strike."""
        assert self.kind in KINDS, f"kind: not a fault, got {self.kind}. Use one of {KINDS}."

    def strikes(self, method_id: str, path: str) -> bool:
        """Count a call and say whether it is the one."""
        if not re.fullmatch(self.method, method_id) or not re.search(self.path, path):
            return False
        self.seen += 1
        hit = self.nth in (0, self.seen)
        self.struck += hit
        return hit

    def refusal(self, settings: Settings, method_id: str, service: str, path: str) -> ApiError | None:
        """What the call is refused with at once, if it is."""
        if self.kind == "error":
            return ApiError(self.code, self.reason, self.message)
        if self.kind == "permission":
            return permission_denied(method_id, path)
        if self.kind == "concurrent":
            return concurrent_change()
        if self.kind == "disabled":
            title = f"{service.partition('.')[0].title()} API"
            return service_disabled(service, title, settings.project, settings.number)
        return None

    def end(self, zone: str) -> ApiError | None:
        """What the operation of the call ends with, if it ends badly."""
        if self.kind == "operation":
            return ApiError(self.code, self.reason, self.message)
        if self.kind == "quota":
            return quota_exceeded(zone.rpartition("-")[0], 8.0)
        return stockout(zone) if self.kind == "stockout" else None

    def sleep(self) -> None:
        """Be slow."""
        time.sleep(self.seconds)


def quota_exceeded(region: str, limit: float) -> ApiError:
    """What an insert ends with when the region's C4A processors are used up."""
    info = {
        "metricName": "compute.googleapis.com/cpus_per_vm_family",
        "limitName": "CPUS-PER-VM-FAMILY-per-project-region",
        "dimensions": {"region": region, "vm_family": "C4A"},
        "limit": limit,
    }
    message = f"Quota 'C4A_CPUS' exceeded.  Limit: {limit:.1f} in region {region}."
    return ApiError(403, "QUOTA_EXCEEDED", message, details=[{"quotaInfo": info}], status="FORBIDDEN")


def stockout(zone: str, machine_type: str = "c4a-standard-32") -> ApiError:
    """What an insert or a start ends with when the zone has no machine left."""
    message = (
        f"The zone 'projects/axion-test/zones/{zone}' does not have enough resources available to fulfill the request. "
        f"'(resource type:compute)'. A {machine_type} VM instance is currently unavailable in the {zone} zone. "
        "Consider trying your request in a different zone, or try again later."
    )
    info = {
        "reason": "resource_availability",
        "domain": "compute.googleapis.com",
        "metadatas": {"vmType": machine_type, "zone": zone, "zonesAvailable": "", "attachment": ""},
    }
    reason = "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    return ApiError(503, reason, message, details=[{"errorInfo": info}], status="SERVICE_UNAVAILABLE")
