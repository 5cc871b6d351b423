"""Where weights, builds and releases outlive a machine: a data disk for each host, and a bucket if wanted."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute, storage

from deployment.stack.pricing import DiskUse
from infra.naming import Naming, disk_key, owned_by

SNAPSHOT_TIME = "03:00"
SNAPSHOT_DAYS = 7
NONCURRENT_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStoreArgs:
    """What the store needs to know."""

    naming: Naming
    project: str
    region: str
    zones: Mapping[str, str]
    disks: Mapping[str, DiskUse]
    """Data disks by host."""
    bucket: bool
    deletable: Collection[str]
    """Names of the disks, and of the bucket, that Pulumi may delete."""
    kms_key: str | None = None


class ModelStore(pulumi.ComponentResource):
    """Hyperdisks with daily snapshots, and a private bucket. Pulumi deletes only what a person has named."""

    disks: Mapping[str, compute.Disk]
    bucket: pulumi.Output[str] | None

    def __init__(self, name: str, args: ModelStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:ModelStore", name, None, opts)
        schedule = self._schedule(name, args)
        self.disks = {host: self._disk(name, host, args, schedule) for host in args.disks}
        self.bucket = self._bucket(name, args) if args.bucket else None
        links = {host: disk.self_link for host, disk in self.disks.items()}
        self.register_outputs({"disks": links, "bucket": self.bucket})

    def _schedule(self, name: str, args: ModelStoreArgs) -> compute.ResourcePolicy:
        daily = compute.ResourcePolicySnapshotSchedulePolicyScheduleArgs(
            daily_schedule=compute.ResourcePolicySnapshotSchedulePolicyScheduleDailyScheduleArgs(
                days_in_cycle=1, start_time=SNAPSHOT_TIME
            )
        )
        return compute.ResourcePolicy(
            f"{name}-snapshots",
            name=args.naming.name("snapshots"),
            region=args.region,
            snapshot_schedule_policy=compute.ResourcePolicySnapshotSchedulePolicyArgs(
                schedule=daily,
                retention_policy=compute.ResourcePolicySnapshotSchedulePolicyRetentionPolicyArgs(
                    max_retention_days=SNAPSHOT_DAYS,
                    # A deleted disk's snapshots would cost for ever and be found by nobody.
                    on_source_disk_delete="APPLY_RETENTION_POLICY",
                ),
                snapshot_properties=compute.ResourcePolicySnapshotSchedulePolicySnapshotPropertiesArgs(
                    labels=args.naming.labelled("snapshot"), storage_locations=args.region
                ),
            ),
            opts=owned_by(self),
        )

    def _disk(self, name: str, host: str, args: ModelStoreArgs, schedule: compute.ResourcePolicy) -> compute.Disk:
        use, zone = args.disks[host], args.zones[host]
        called = args.naming.name("data", host)
        is_kept = called not in args.deletable
        disk = compute.Disk(
            f"{name}-data-{host}",
            name=called,
            zone=zone,
            type=use.type,
            size=use.size_gib,
            provisioned_iops=use.iops,
            provisioned_throughput=use.throughput_mib_s,
            disk_encryption_key=disk_key(args.kms_key),
            labels=args.naming.labelled("model-store"),
            # Protection ends where somebody unprotects it by hand; then Google's provider makes a snapshot first.
            create_snapshot_before_destroy=is_kept,
            # `fab move` makes the disk of another zone from a snapshot, which the provider reads back.
            opts=owned_by(self, protect=is_kept, ignore_changes=["snapshot"]),
        )
        compute.DiskResourcePolicyAttachment(
            f"{name}-data-{host}-snapshots", name=schedule.name, disk=disk.name, zone=zone, opts=owned_by(self)
        )
        return disk

    def _bucket(self, name: str, args: ModelStoreArgs) -> pulumi.Output[str]:
        old = storage.BucketLifecycleRuleConditionArgs(days_since_noncurrent_time=NONCURRENT_DAYS)
        # Bucket names are the world's: a project's id makes this one ours.
        called = args.naming.name(args.project)
        is_kept = called not in args.deletable
        bucket = storage.Bucket(
            f"{name}-bucket",
            name=called,
            location=args.region.upper(),
            encryption=storage.BucketEncryptionArgs(default_kms_key_name=args.kms_key) if args.kms_key else None,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning=storage.BucketVersioningArgs(enabled=True),
            lifecycle_rules=[
                storage.BucketLifecycleRuleArgs(
                    action=storage.BucketLifecycleRuleActionArgs(type="Delete"), condition=old
                )
            ],
            # Who names it means what is in it, too.
            force_destroy=not is_kept,
            labels=args.naming.labelled("model-store"),
            opts=owned_by(self, protect=is_kept),
        )
        name_of_it: pulumi.Output[str] = bucket.name
        return name_of_it
