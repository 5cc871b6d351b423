"""All kinds by their token."""

from tests.support.fakes.provider import (
    compute_address,
    compute_disk,
    compute_instance,
    compute_network,
    members,
    plain_kinds,
    stored_kinds,
)
from tests.support.fakes.provider.kinds import Kind

_CLASSES: tuple[type[Kind], ...] = (
    compute_network.Network,
    compute_network.Subnetwork,
    compute_network.Router,
    compute_network.RouterNat,
    compute_network.Firewall,
    compute_address.Address,
    compute_disk.ResourcePolicy,
    compute_disk.Disk,
    compute_disk.DiskResourcePolicyAttachment,
    compute_instance.Instance,
    members.InstanceMember,
    members.ProjectMember,
    members.SecretMember,
    members.BucketMember,
    plain_kinds.Account,
    plain_kinds.CustomRole,
    plain_kinds.Budget,
    plain_kinds.AlertPolicy,
    plain_kinds.NotificationChannel,
    stored_kinds.Secret,
    stored_kinds.SecretVersion,
    stored_kinds.Bucket,
)
KINDS: dict[str, Kind] = {one.token: one() for one in _CLASSES}
