"""Who a host is: a service account of its own, with the few rights that it uses."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_gcp import projects, secretmanager, serviceaccount, storage

from infra.naming import Naming, owned_by

PROJECT_ROLES = {"logs": "roles/logging.logWriter", "metrics": "roles/monitoring.metricWriter"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityArgs:
    """What a host's identity needs to know."""

    naming: Naming
    host: str
    project: str
    secrets: Mapping[str, pulumi.Output[str]]
    """Secrets that the host reads, by a short name."""
    bucket: pulumi.Output[str] | None


class Identity(pulumi.ComponentResource):
    """A service account that writes logs and metrics, and reads exactly its secrets and its bucket."""

    email: pulumi.Output[str]
    member: pulumi.Output[str]

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:Identity", name, None, opts)
        account = serviceaccount.Account(
            f"{name}-account",
            account_id=args.naming.name(args.host),
            display_name=f"axion {args.naming.stack} host {args.host}",
            opts=owned_by(self),
        )
        self.email, self.member = account.email, account.member
        for what, role in PROJECT_ROLES.items():
            projects.IAMMember(
                f"{name}-{what}", project=args.project, role=role, member=self.member, opts=owned_by(self)
            )
        for what, secret in args.secrets.items():
            secretmanager.SecretIamMember(
                f"{name}-reads-{what}",
                secret_id=secret,
                role="roles/secretmanager.secretAccessor",
                member=self.member,
                opts=owned_by(self),
            )
        if args.bucket is not None:
            storage.BucketIAMMember(
                f"{name}-reads-bucket",
                bucket=args.bucket,
                role="roles/storage.objectViewer",
                member=self.member,
                opts=owned_by(self),
            )
        self.register_outputs({"email": self.email})


class StopRole(pulumi.ComponentResource):
    """The right to stop an instance, and no other: each host holds it on itself alone."""

    name: pulumi.Output[str]

    def __init__(self, name: str, naming: Naming, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:StopRole", name, None, opts)
        role = projects.IAMCustomRole(
            f"{name}-role",
            # A role's id takes no hyphen.
            role_id=naming.name("stop").replace("-", "_"),
            title=f"axion {naming.stack}: stop an instance",
            description="Lets a host that nobody uses stop itself.",
            permissions=["compute.instances.stop"],
            stage="GA",
            opts=owned_by(self),
        )
        self.name = role.name
        self.register_outputs({"name": self.name})
