"""Instance: how its inputs become one insert, and what the cloud's answer says of them."""

from typing import Any, ClassVar

from tests.support.fakes.provider.compute_disk import image_path, same_image
from tests.support.fakes.provider.fields import f, from_rest, int64, last, nested, only, to_rest
from tests.support.fakes.provider.instance_changes import STEPS, apply
from tests.support.fakes.provider.kinds import Kind
from tests.support.fakes.provider.rest import Rest

Json = dict[str, Any]

DURATION = (int64("seconds"), f("nanos"))
INITIAL = (
    f("image", "sourceImage"),
    f("type", "diskType", back=last),
    int64("size", "diskSizeGb"),
    int64("provisionedIops"),
    int64("provisionedThroughput"),
    *(f("labels"), f("architecture"), f("enableConfidentialCompute"), f("storagePool")),
    f("resourcePolicies", out=lambda value: [value], back=lambda value: value[0]),
)
BOOT_DISK = nested(
    "bootDisk",
    *(f("autoDelete"), f("deviceName"), f("mode"), f("source"), f("interface"), f("forceAttach")),
    nested("initializeParams", *INITIAL),
)
ATTACHED = (f("source"), f("deviceName"), f("mode"), f("forceAttach"))
SCRATCH = (f("interface"), f("deviceName"), int64("size", "diskSizeGb"))
CARDS = nested(
    "networkInterfaces",
    *(f("network"), f("subnetwork"), f("networkIp", "networkIP"), f("nicType"), f("stackType"), f("queueCount")),
    f("name", output_only=True),
    nested("accessConfigs", f("natIp", "natIP"), f("networkTier"), is_list=True),
    is_list=True,
)
SCHEDULING = nested(
    "scheduling",
    *(f("automaticRestart"), f("onHostMaintenance"), f("preemptible"), f("provisioningModel")),
    *(f("instanceTerminationAction"), f("minNodeCpus"), f("availabilityDomain"), f("skipGuestOsShutdown")),
    nested("maxRunDuration", *DURATION),
    nested("preemptionNoticeDuration", *DURATION),
    nested("localSsdRecoveryTimeout", *DURATION),
    nested("onInstanceStopAction", f("discardLocalSsd")),
    nested("gracefulShutdown", f("enabled"), nested("maxDuration", *DURATION)),
)
FIELDS = (
    *(f("name"), f("description"), f("hostname"), f("canIpForward"), f("labels"), f("deletionProtection")),
    *(f("minCpuPlatform"), f("keyRevocationActionType")),
    f("machineType", back=last),
    BOOT_DISK,
    nested("attachedDisks", *ATTACHED, is_list=True),
    nested("scratchDisks", *SCRATCH, is_list=True),
    CARDS,
    SCHEDULING,
    f(
        "metadata",
        out=lambda value: {"items": [{"key": key, "value": value[key]} for key in sorted(value)]},
        back=lambda value: {item["key"]: item["value"] for item in value.get("items", [])},
    ),
    f("tags", out=lambda value: {"items": value}, back=lambda value: value.get("items", [])),
    nested("serviceAccount", f("email"), f("scopes")),
    nested("shieldedInstanceConfig", f("enableSecureBoot"), f("enableVtpm"), f("enableIntegrityMonitoring")),
    nested(
        "advancedMachineFeatures",
        *(f("enableNestedVirtualization"), f("threadsPerCore"), f("visibleCoreCount")),
        *(f("performanceMonitoringUnit"), f("turboMode"), f("enableUefiNetworking")),
    ),
    nested("confidentialInstanceConfig", f("enableConfidentialCompute"), f("confidentialInstanceType")),
    nested("networkPerformanceConfig", f("totalEgressBandwidthTier")),
    nested("reservationAffinity", f("type", "consumeReservationType")),
    f("resourcePolicies", out=lambda value: [value], back=lambda value: value[0]),
    f("instanceId", "id", output_only=True),
    f("currentStatus", "status", output_only=True),
    f("metadataFingerprint", "metadata.fingerprint", output_only=True),
    f("tagsFingerprint", "tags.fingerprint", output_only=True),
    *only("selfLink", "creationTimestamp", "cpuPlatform", "labelFingerprint"),
)
# The real provider spells these out in state; an instance without them has them all the same.
DEFAULTS = {
    "deletionPolicy": "DELETE",
    "canIpForward": False,
    "deletionProtection": False,
    "bootDisk.autoDelete": True,
    "bootDisk.mode": "READ_WRITE",
    "attachedDisks.mode": "READ_WRITE",
}


class Instance(Kind):
    """A virtual machine."""

    token = "gcp:compute/instance:Instance"
    item = "projects/{project}/zones/{zone}/instances/{name}"
    fields = FIELDS
    client_only = frozenset({"deletionPolicy", "allowStoppingForUpdate", "desiredStatus", "metadataStartupScript"})
    fixed = frozenset({"metadataStartupScript"})
    defaults: ClassVar[Json] = DEFAULTS
    steps = STEPS
    has_labels = True
    filled_in = frozenset(
        {
            *("bootDisk.source", "bootDisk.deviceName", "bootDisk.interface", "bootDisk.initializeParams"),
            *(f"bootDisk.initializeParams.{field.name}" for field in INITIAL),
            *(
                f"networkInterfaces.{name}"
                for name in ("networkIp", "name", "network", "subnetwork", "stackType", "nicType")
            ),
            *("networkInterfaces.accessConfigs.natIp", "networkInterfaces.accessConfigs.networkTier"),
            *(
                "attachedDisks.deviceName",
                "scratchDisks.deviceName",
                "scheduling",
                "shieldedInstanceConfig",
                "minCpuPlatform",
            ),
            *("minCpuPlatform", "confidentialInstanceConfig", "reservationAffinity", "keyRevocationActionType"),
        }
    )
    # scratch_disk is read back and ForceNew (resource_compute_instance.go): a machine type that brings local SSDs which
    # the program does not name is replaced at every update (GoogleCloudPlatform/cloud-foundation-fabric #4148).
    empty_when_absent = frozenset(
        {
            "attachedDisks",
            "scratchDisks",
            "tags",
            "metadata",
            "networkInterfaces.accessConfigs",
            "serviceAccount",
            "resourcePolicies",
        }
    )

    def same(self, path: str, new: object, old: object) -> bool:
        """Families and images by name."""
        return path == "bootDisk.initializeParams.image" and same_image(new, old)

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What the real provider refuses without asking Google."""
        found = []
        if inputs.get("desiredStatus", "RUNNING") not in ("RUNNING", "TERMINATED", "SUSPENDED"):
            found.append(
                ("desiredStatus", f"expected RUNNING, SUSPENDED or TERMINATED, got {inputs['desiredStatus']}.")
            )
        boot = inputs.get("bootDisk", {})
        if isinstance(boot, dict) and "source" in boot and "initializeParams" in boot:
            found.append(("bootDisk.source", "conflicts with bootDisk.initializeParams, got both. Keep one."))
        metadata = inputs.get("metadata", {})
        if "metadataStartupScript" in inputs and isinstance(metadata, dict) and "startup-script" in metadata:
            found.append(("metadataStartupScript", "conflicts with metadata startup-script, got both. Keep one."))
        return found

    def body(self, rest: Rest, inputs: Json) -> Json:
        """One insert: disks in one list, metadata as items, links in full."""
        zone = "projects/{project}/zones/{zone}".format_map(inputs)
        metadata = {**inputs.get("metadata", {})}
        if "metadataStartupScript" in inputs:
            metadata["startup-script"] = inputs["metadataStartupScript"]
        body = to_rest(self.fields, {**inputs, "metadata": metadata})
        boot, attached, scratch = body.pop("bootDisk"), body.pop("attachedDisks", []), body.pop("scratchDisks", [])
        if "initializeParams" in boot:
            initial = boot["initializeParams"]
            initial["diskType"] = f"{zone}/diskTypes/{last(initial.get('diskType', 'pd-standard'))}"
            if "sourceImage" in initial:
                initial["sourceImage"] = image_path(rest, inputs["project"], initial["sourceImage"])
        body["disks"] = [{"autoDelete": True, **boot, "boot": True}]
        local = {"autoDelete": True, "type": "SCRATCH", "initializeParams": {"diskType": f"{zone}/diskTypes/local-ssd"}}
        body["disks"] += [{"diskSizeGb": "375", **disk, **local} for disk in scratch]
        body["disks"] += [{**disk, "autoDelete": False} for disk in attached]
        body["machineType"] = f"{zone}/machineTypes/{last(inputs['machineType'])}"
        if "serviceAccount" in body:
            account = body.pop("serviceAccount")
            body["serviceAccounts"] = [{"email": "default", **account}]
        for card in body["networkInterfaces"]:
            for config in card.get("accessConfigs", []):
                config |= {"type": "ONE_TO_ONE_NAT", "name": "external-nat"}
        return body

    def create(self, rest: Rest, inputs: Json) -> str:
        """Insert, and stop again if it shall not run."""
        resource_id = super().create(rest, inputs)
        if inputs.get("desiredStatus") == "TERMINATED":
            rest.compute("POST", f"{resource_id}/stop")
        return resource_id

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """The answer sorted back: boot disk with what it was made from, the other disks, one account."""
        body = self.get(rest, resource_id)
        if body is None:
            return None
        disks = body.pop("disks")
        boot = next(disk for disk in disks if disk["boot"])
        body["bootDisk"] = {**boot, "initializeParams": self._made_from(rest, boot["source"])}
        body["attachedDisks"] = [disk for disk in disks if not disk["boot"] and disk["type"] == "PERSISTENT"]
        body["scratchDisks"] = [disk for disk in disks if disk["type"] == "SCRATCH"]
        if body.get("serviceAccounts"):
            body["serviceAccount"] = body["serviceAccounts"][0]
        found = {**self.variables(resource_id), **from_rest(self.fields, body)}
        return {**found, "desiredStatus": found["currentStatus"]}

    def _made_from(self, rest: Rest, source: str) -> Json:
        disk = rest.get(self.api + source.split("/compute/v1/", 1)[1]) or {}
        same = ("sourceImage", "provisionedIops", "provisionedThroughput", "labels", "architecture", "resourcePolicies")
        kept = {key: disk[key] for key in same if key in disk}
        return {**kept, "diskType": disk.get("type", ""), "diskSizeGb": disk.get("sizeGb", "0")}

    def update(self, rest: Rest, resource_id: str, old: Json, inputs: Json, changed: frozenset[str]) -> None:
        """What can change while it runs first; then all that needs a stop, with one stop."""
        apply(rest, resource_id, old, inputs, changed)

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """The real provider looks at the protection itself before it asks."""
        if state.get("deletionProtection"):
            name = resource_id.rpartition("/")[2]
            advice = (
                "Set deletion_protection to false for this resource and run pulumi up before attempting to delete it."
            )
            raise ValueError(f"Cannot delete instance {name}: instance Deletion Protection is enabled. {advice}")
        super().delete(rest, resource_id, state)
