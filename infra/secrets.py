"""Secrets: from Pulumi's encrypted configuration into Secret Manager, and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_gcp import secretmanager

from infra.naming import Naming, owned_by


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsArgs:
    """Which secrets there are; None stands for one whose value somebody else will add."""

    naming: Naming
    values: Mapping[str, pulumi.Output[str] | None]
    regions: tuple[str, ...] = ()
    """Where the values are kept; none means wherever Google likes."""
    kms_key: str | None = None


class Secrets(pulumi.ComponentResource):
    """A Secret Manager secret for each name, with a version where the configuration has a value."""

    ids: Mapping[str, pulumi.Output[str]]
    """Full names, `projects/<project>/secrets/<id>`."""

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:Secrets", name, None, opts)
        ids: dict[str, pulumi.Output[str]] = {}
        for short, value in args.values.items():
            secret = secretmanager.Secret(
                f"{name}-{short}",
                secret_id=args.naming.name(short),
                replication=_replication(args),
                labels=args.naming.labelled("secrets"),
                opts=owned_by(self),
            )
            ids[short] = secret.id
            if value is not None:
                secretmanager.SecretVersion(
                    f"{name}-{short}-version",
                    secret=secret.id,
                    secret_data=value,
                    # Secret Manager numbers versions: a new value may come before the old one goes.
                    opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["secretData"]),
                )
        self.ids = ids
        self.register_outputs({"ids": ids})


def _replication(args: SecretsArgs) -> secretmanager.SecretReplicationArgs:
    if not args.regions:
        return secretmanager.SecretReplicationArgs(auto=secretmanager.SecretReplicationAutoArgs())
    encryption = None
    if args.kms_key is not None:
        encryption = secretmanager.SecretReplicationUserManagedReplicaCustomerManagedEncryptionArgs(
            kms_key_name=args.kms_key
        )
    replicas = [
        secretmanager.SecretReplicationUserManagedReplicaArgs(location=region, customer_managed_encryption=encryption)
        for region in args.regions
    ]
    return secretmanager.SecretReplicationArgs(
        user_managed=secretmanager.SecretReplicationUserManagedArgs(replicas=replicas)
    )
