"""How resources are called, labelled and encrypted: from what they are, so that two runs give the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
from pulumi_gcp import compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """The names and labels of one stack."""

    stack: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the stack's configuration adds."""

    def name(self, *parts: str) -> str:
        """Name a resource in the cloud."""
        return "-".join(("axion", self.stack, *parts))

    def ours(self, component: str) -> dict[str, str]:
        """The labels that the census looks for; a stack's never change."""
        return {"axion-stack": self.stack, "axion-component": component, "managed-by": "pulumi"}

    def labelled(self, component: str) -> dict[str, str]:
        """Label a resource: ours win over the configuration's."""
        return {**self.labels, **self.ours(component)}


def owned_by(
    parent: pulumi.Resource,
    *,
    protect: bool | None = None,
    depends_on: list[pulumi.Resource] | None = None,
    ignore_changes: list[str] | None = None,
    replace_on_changes: list[str] | None = None,
) -> pulumi.ResourceOptions:
    """Options of a component's resource. Names are fixed, so a successor can only come after its predecessor."""
    return pulumi.ResourceOptions(
        parent=parent,
        protect=protect,
        depends_on=depends_on,
        ignore_changes=ignore_changes,
        replace_on_changes=replace_on_changes,
        delete_before_replace=True,
    )


def disk_key(kms_key: str | None) -> compute.DiskDiskEncryptionKeyArgs | None:
    """What encrypts a disk and, by Google's rule, every snapshot of it; None is Google's own key."""
    return None if kms_key is None else compute.DiskDiskEncryptionKeyArgs(kms_key_self_link=kms_key)
