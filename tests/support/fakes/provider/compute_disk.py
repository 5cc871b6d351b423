"""Disk, ResourcePolicy, DiskResourcePolicyAttachment."""

import re
import time
from typing import Any, ClassVar

from tests.support.fakes.provider.fields import f, int64, last, nested, only, to_rest
from tests.support.fakes.provider.kinds import Kind, Step
from tests.support.fakes.provider.rest import Rest, RestError

Json = dict[str, Any]
PREFIX_LETTERS = 48
PROVISIONED = ("provisionedIops", "provisionedThroughput")
VERSIONED = re.compile(r"-v?\d{8}\w*$")


def image_path(rest: Rest, project: str, reference: str) -> str:
    """The path of an image from what users write: a link, project/family, project/image, or a family alone."""
    path = reference.split("/compute/v1/", 1)[-1].strip("/")
    if path.startswith(("projects/", "global/")):
        return path
    owner, _, name = path.rpartition("/")
    owner = owner.removesuffix("/family") or project
    base = f"projects/{owner}/global/images"
    for candidate in (f"{base}/{name}", f"{base}/family/{name}"):
        if rest.get(f"compute/v1/{candidate}") is not None:
            return candidate
    raise RestError(404, "notFound", f"Could not find image or family {reference}")


def snapshot_path(project: str, reference: str) -> str:
    """The path of a snapshot from what users write: a link, a part of one, or a name alone."""
    path = reference.split("/compute/v1/", 1)[-1].strip("/")
    if path.startswith("projects/"):
        return path
    return f"projects/{project}/global/snapshots/{last(path)}"


def same_image(new: object, old: object) -> bool:
    """Whether a family names the image that a disk was made from: the real provider compares their names only."""
    name, image = str(last(new)), str(last(old))
    stem = VERSIONED.sub("", image)
    wanted, have = set(name.replace("-lts", "").split("-")), set(stem.split("-"))
    return name == image or (VERSIONED.search(name) is None and wanted <= have)


def set_labels(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    """Replace all labels with the fingerprint that was just read."""
    current = rest.call("GET", f"compute/v1/{resource_id}")
    body = {"labels": new.get("labels", {}), "labelFingerprint": current["labelFingerprint"]}
    rest.compute("POST", f"{resource_id}/setLabels", body)


def _resize(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    rest.compute("POST", f"{resource_id}/resize", {"sizeGb": str(new["size"])})


def _provision(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    """IOPS and throughput in one call, as Google's Terraform provider does since 7.28 (its #26815).

    Before, there were two calls, and lowering both failed at the first (its #26315).
    """
    changed = [name for name in PROVISIONED if name in new and new[name] != old.get(name)]
    body = {"name": resource_id.rpartition("/")[2], **{name: str(new[name]) for name in changed}}
    rest.compute("PATCH", f"{resource_id}?{'&'.join(f'paths={name}' for name in changed)}", body)


def _access_mode(rest: Rest, resource_id: str, old: Json, new: Json) -> None:
    body = {"name": resource_id.rpartition("/")[2], "accessMode": new["accessMode"]}
    rest.compute("PATCH", resource_id, body, {"paths": "accessMode"})


class Disk(Kind):
    """A disk; it grows in place and is made anew to shrink: the old one is detached and deleted, wherever it was."""

    token = "gcp:compute/disk:Disk"
    item = "projects/{project}/zones/{zone}/disks/{name}"
    fields = (
        *(f("name"), f("description"), f("labels"), f("architecture"), f("snapshot", "sourceSnapshot")),
        *(f("enableConfidentialCompute"), f("storagePool"), f("sourceDisk"), f("accessMode"), f("licenses")),
        f("image", "sourceImage"),
        # The real provider takes the version away that Google answers with.
        nested(
            "diskEncryptionKey",
            f("kmsKeySelfLink", "kmsKeyName", back=lambda name: name.partition("/cryptoKeyVersions")[0]),
        ),
        f("type", back=last),
        int64("size", "sizeGb"),
        int64("provisionedIops"),
        int64("provisionedThroughput"),
        int64("physicalBlockSizeBytes"),
        f("resourcePolicies"),
        f("diskId", "id", output_only=True),
        *only("selfLink", "creationTimestamp", "labelFingerprint", "users", "sourceImageId", "sourceSnapshotId"),
        *only("lastAttachTimestamp", "lastDetachTimestamp", "sourceDiskId"),
    )
    client_only = frozenset({"deletionPolicy", "createSnapshotBeforeDestroy", "createSnapshotBeforeDestroyPrefix"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "type": "pd-standard", "createSnapshotBeforeDestroy": False}
    steps = (
        Step(inputs=frozenset({"labels"}), run=set_labels),
        Step(inputs=frozenset({"size"}), run=_resize),
        Step(inputs=frozenset(PROVISIONED), run=_provision),
        Step(inputs=frozenset({"accessMode"}), run=_access_mode),
    )
    has_labels = True
    empty_when_absent = frozenset({"snapshot", "image"})
    """What the cloud says a disk was made of is in its state, whoever made it: left out, that makes a new disk."""
    filled_in = frozenset(
        {
            *("provisionedIops", "provisionedThroughput", "physicalBlockSizeBytes", "resourcePolicies", "size"),
            *("accessMode", "architecture", "enableConfidentialCompute", "licenses"),
        }
    )

    def outgrown(self, path: str, new: object, old: object) -> bool:
        """A disk cannot shrink: the real provider makes a smaller one, with nothing on it."""
        return path == "size" and isinstance(new, int) and isinstance(old, int) and new < old

    def same(self, path: str, new: object, old: object) -> bool:
        """Families and images by name."""
        return path == "image" and same_image(new, old)

    def body(self, rest: Rest, inputs: Json) -> Json:
        """Links are written in full."""
        body = to_rest(self.fields, inputs)
        where = "projects/{project}/zones/{zone}".format_map(inputs)
        body["type"] = f"{where}/diskTypes/{last(inputs['type'])}"
        if "snapshot" in inputs:
            body["sourceSnapshot"] = snapshot_path(inputs["project"], inputs["snapshot"])
        if "image" in inputs:
            body["sourceImage"] = image_path(rest, inputs["project"], inputs["image"])
        return body

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """All but the architecture, which the real provider sends and never reads: an import does not know it."""
        found = super().read(rest, resource_id)
        return found and {name: value for name, value in found.items() if name != "architecture"}

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """Take it off every instance that uses it, running or not, and delete it, as resource_compute_disk.go does.

        A snapshot comes first if the state asks for one; it has no labels, and its name has the seconds too.
        """
        there = rest.call("GET", self.api + resource_id)
        if state.get("createSnapshotBeforeDestroy"):
            self._snapshot(rest, resource_id, state)
        for user in there.get("users", []):
            path = user.split("/compute/v1/", 1)[-1]
            for attached in (rest.get(self.api + path) or {"disks": []})["disks"]:
                if attached.get("source") == there["selfLink"]:
                    rest.compute("POST", f"{path}/detachDisk", query={"deviceName": attached["deviceName"]})
        super().delete(rest, resource_id, state)

    def _snapshot(self, rest: Rest, resource_id: str, state: Json) -> None:
        given = state.get("createSnapshotBeforeDestroyPrefix")
        prefix, origin = given or state["name"], "create_snapshot_before_destroy_prefix" if given else "disk"
        if len(prefix) > PREFIX_LETTERS:
            raise ValueError(
                f"Your {origin} name is too long to perform this action. The max is {PREFIX_LETTERS} characters. "
                'Please use "create_snapshot_before_destroy_prefix" to set a custom name for the snapshot.'
            )
        body = {"name": f"{prefix}-{time.strftime('%Y%m%d-%H%M%S')}", "sourceDisk": resource_id}
        rest.compute("POST", f"projects/{state['project']}/global/snapshots", body)


class ResourcePolicy(Kind):
    """A snapshot schedule."""

    token = "gcp:compute/resourcePolicy:ResourcePolicy"
    item = "projects/{project}/regions/{region}/resourcePolicies/{name}"
    fields = (
        *(f("name"), f("description")),
        nested(
            "snapshotSchedulePolicy",
            nested(
                "schedule",
                nested("dailySchedule", f("daysInCycle"), f("startTime")),
                nested("hourlySchedule", f("hoursInCycle"), f("startTime")),
                nested("weeklySchedule", nested("dayOfWeeks", f("day"), f("startTime"), is_list=True)),
            ),
            nested("retentionPolicy", f("maxRetentionDays"), f("onSourceDiskDelete")),
            nested(
                "snapshotProperties",
                *(f("labels"), f("guestFlush"), f("chainName")),
                f("storageLocations", out=lambda value: [value], back=lambda value: value[0]),
            ),
        ),
        *only("selfLink"),
    )
    patched = frozenset({"snapshotSchedulePolicy", "description"})


class DiskResourcePolicyAttachment(Kind):
    """A schedule on a disk; `name` is the policy's."""

    token = "gcp:compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment"
    item = "{project}/{zone}/{disk}/{name}"
    fields = ()
    client_only = frozenset({"deletionPolicy", "disk", "name"})

    def _disk(self, inputs: Json) -> str:
        return "projects/{project}/zones/{zone}/disks/{disk}".format_map({**inputs, "disk": last(inputs["disk"])})

    def _policy(self, inputs: Json) -> Json:
        region = inputs["zone"].rpartition("-")[0]
        return {
            "resourcePolicies": [f"projects/{inputs['project']}/regions/{region}/resourcePolicies/{inputs['name']}"]
        }

    def id_of(self, inputs: Json) -> str:
        """By the disk's name, however it was given."""
        return self.item.format_map({**inputs, "disk": last(inputs["disk"])})

    def create(self, rest: Rest, inputs: Json) -> str:
        """Add the policy to the disk."""
        rest.compute("POST", f"{self._disk(inputs)}/addResourcePolicies", self._policy(inputs))
        return self.id_of(inputs)

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """There as long as the disk has the policy."""
        where = self.variables(resource_id)
        disk = rest.get(self.api + self._disk(where)) or {}
        wanted = f"/{where['name']}"
        return dict(where) if any(one.endswith(wanted) for one in disk.get("resourcePolicies", [])) else None

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """Take the policy off the disk."""
        where = self.variables(resource_id)
        rest.compute("POST", f"{self._disk(where)}/removeResourcePolicies", self._policy(where))
