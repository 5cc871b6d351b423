"""What happens to data: labels to find it by, snapshots to get it back, and no secret where others read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from axion_policy.resource import (
    ALERT_POLICY,
    BUCKET,
    DISK,
    INSTANCE,
    NOTIFICATION_CHANNEL,
    POLICY_ATTACHMENT,
    RESOURCE_POLICY,
    RULES,
    SECRET,
    SECRET_VERSION,
    STACK_RULES,
    UNKNOWN,
    Config,
    Finding,
    Resource,
    is_given,
    rule,
    shown,
)

# Where each type has its labels. A boot disk and a snapshot get theirs from what makes them.
LABELS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    INSTANCE: (("labels",), ("bootDisk", "initializeParams", "labels")),
    DISK: (("labels",),),
    BUCKET: (("labels",),),
    SECRET: (("labels",),),
    ALERT_POLICY: (("userLabels",),),
    NOTIFICATION_CHANNEL: (("userLabels",),),
    RESOURCE_POLICY: (("snapshotSchedulePolicy", "snapshotProperties", "labels"),),
}
COMPONENT = "axion-component"
SECRET_KEY = re.compile(
    r"(^|[-_.])(api[-_]?keys?|passw(or)?d|secret|token|credentials?|private[-_]?key)($|[-_.])", re.IGNORECASE
)
# Words that only point at a secret: its name or where it lies.
POINTER = re.compile(r"(^|[-_.])(id|ids|name|names|path|file|resource|version|url)$", re.IGNORECASE)
SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{30,}"
    r"|\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}|\bAKIA[0-9A-Z]{16}\b|\bxox[abp]-[0-9A-Za-z-]{20,}"
)
# Shorter than this a value is found in any text.
SECRET_BYTES_MIN = 8


@rule(RULES, "labels", "Everything that can carry labels says whose it is.", *LABELS)
def labels(resource: Resource, _config: Config) -> Iterator[str]:
    """What carries no label is neither in `fab census` nor on a bill that anybody understands."""
    for path in LABELS.get(resource.type, ()):
        where, found = ".".join(path), resource.at(*path)
        if found is UNKNOWN or _is_made_elsewhere(resource, path):
            continue
        wanted = {"axion-stack": resource.stack, "managed-by": "pulumi"}
        for key, value in wanted.items():
            got = resource.at(*path, key)
            if got is not UNKNOWN and got != value:
                yield f"{where}.{key}: missing or wrong, got {shown(got)}. Write {value}."
        if not resource.at(*path, COMPONENT):
            yield f"{where}.{COMPONENT}: missing. Write the component that it belongs to."


def _is_made_elsewhere(resource: Resource, path: tuple[str, ...]) -> bool:
    """A boot disk that the instance only attaches has labels of its own, and a policy need be no schedule."""
    if path[0] == "bootDisk":
        return is_given(resource.at("bootDisk", "source"))
    return path[0] == "snapshotSchedulePolicy" and resource.at(path[0]) is None


@rule(STACK_RULES, "snapshot-schedule", "Every data disk has a snapshot schedule.")
def snapshots(resources: Sequence[Resource]) -> Iterator[Finding]:
    """A data disk without a schedule is one mistake away from a day of downloads; one made from an image is none.

    While a preview does not know the image, nobody can tell: such a disk is judged by `pulumi up`.
    """
    attachments = [each for each in resources if each.type == POLICY_ATTACHMENT]
    schedules = [each for each in resources if each.type == RESOURCE_POLICY and each.at("snapshotSchedulePolicy")]
    for disk in (each for each in resources if each.type == DISK and not is_given(each.at("image"))):
        mine = [each for each in attachments if _refers(each, "disk", disk)]
        if not any(_refers(attachment, "name", schedule) for attachment in mine for schedule in schedules):
            got = "a policy without snapshotSchedulePolicy" if mine else "no attached policy"
            yield disk, f"{disk.name}: no snapshot schedule, got {got}. Attach one by a DiskResourcePolicyAttachment."


@rule(RULES, "no-secrets-in-metadata", "Metadata holds no secrets.", INSTANCE)
def suspicious_metadata(instance: Resource, _config: Config) -> Iterator[str]:
    """Everybody who may list instances, and every process on the host, reads metadata."""
    for key, value in _texts(instance):
        name = key.rpartition(".")[2]
        if SECRET_KEY.search(name) and not POINTER.search(name) and value:
            yield f"{key}: looks like a secret by its name, got {len(value)} characters. {SECRET_MANAGER}"
        elif SECRET_VALUE.search(value):
            yield f"{key}: holds what looks like a secret, got {len(value)} characters. {SECRET_MANAGER}"


SECRET_MANAGER = "Put it into Secret Manager and give the host its id."  # noqa: S105 - a sentence


@rule(STACK_RULES, "no-kept-secret-in-metadata", "Metadata holds no secrets.")
def planted_secrets(resources: Sequence[Resource]) -> Iterator[Finding]:
    """A value that Secret Manager keeps must not stand in an instance as well, under whatever name."""
    versions = [(each, each.at("secretData")) for each in resources if each.type == SECRET_VERSION]
    values = [(each, value) for each, value in versions if isinstance(value, str) and len(value) >= SECRET_BYTES_MIN]
    for instance in (each for each in resources if each.type == INSTANCE):
        for key, text in _texts(instance):
            for version, value in values:
                if value in text:
                    yield instance, f"{key}: holds the value of {version.name}, got it in clear. {SECRET_MANAGER}"


def _texts(instance: Resource) -> Iterator[tuple[str, str]]:
    metadata: Any = instance.at("metadata")
    for key, value in metadata.items() if isinstance(metadata, Mapping) else ():
        if isinstance(value, str):
            yield f"metadata.{key}", value
    script = instance.at("metadataStartupScript")
    if isinstance(script, str):
        yield "metadataStartupScript", script


def _refers(resource: Resource, key: str, other: Resource) -> bool:
    """By the dependency that the program made, or by the name that both were given."""
    value = resource.at(key)
    named = isinstance(value, str) and value.rpartition("/")[2] == other.at("name")
    return other.urn in resource.origins.get(key, ()) or named
