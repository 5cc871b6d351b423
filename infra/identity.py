"""Who a host is: a service account of its own, with the few rights that it uses, or one that somebody else made."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_gcp import projects, secretmanager, serviceaccount, storage

from deployment.stack.organisation import BUCKET_ROLE, PROJECT_ROLES, SECRET_ROLE, STOP_PERMISSION
from infra.naming import Naming, owned_by


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityArgs:
    """What a host's identity needs to know."""

    naming: Naming
    host: str
    project: str
    secrets: Mapping[str, pulumi.Output[str]]
    """Secrets that the host reads, by a short name."""
    bucket: pulumi.Output[str] | None
    given_account: str | None = None
    """The address of an account that exists: then none is made, and nothing is granted to it here."""
    given_stop_role: str | None = None
    """The full name of a role that exists."""


class Identity(pulumi.ComponentResource):
    """A service account that writes logs and metrics, and reads exactly its secrets and its bucket."""

    email: pulumi.Output[str]
    member: pulumi.Output[str]
    stop_role: pulumi.Output[str] | None
    """The right to stop an instance, and no other, to be held on the host's own. None: its account has it already."""

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:Identity", name, None, opts)
        given = args.given_stop_role
        self.stop_role = None if given is None else pulumi.Output.from_input(given)
        if args.given_account is not None:
            self.email = pulumi.Output.from_input(args.given_account)
            self.member = pulumi.Output.concat("serviceAccount:", args.given_account)
        else:
            account = self._account(name, args)
            self.email, self.member = account.email, account.member
            self._grants(name, args)
            if given is None:
                self.stop_role = self._stop_role(name, args, account)
        self.register_outputs({"email": self.email})

    def _account(self, name: str, args: IdentityArgs) -> serviceaccount.Account:
        return serviceaccount.Account(
            f"{name}-account",
            account_id=args.naming.name(args.host),
            display_name=f"axion {args.naming.stack} host {args.host}",
            opts=owned_by(self),
        )

    def _grants(self, name: str, args: IdentityArgs) -> None:
        for what, role in PROJECT_ROLES.items():
            projects.IAMMember(
                f"{name}-{what}", project=args.project, role=role, member=self.member, opts=owned_by(self)
            )
        for what, secret in args.secrets.items():
            secretmanager.SecretIamMember(
                f"{name}-reads-{what}", secret_id=secret, role=SECRET_ROLE, member=self.member, opts=owned_by(self)
            )
        if args.bucket is not None:
            storage.BucketIAMMember(
                f"{name}-reads-bucket", bucket=args.bucket, role=BUCKET_ROLE, member=self.member, opts=owned_by(self)
            )

    def _stop_role(self, name: str, args: IdentityArgs, account: serviceaccount.Account) -> pulumi.Output[str]:
        """A role's id is taken for 37 days after the role is gone, and only for the first seven can it be had back.

        So no two lives of a stack share one: it ends in the account's number, which Google gives to no second account
        ("Creating and managing custom roles" and "ServiceAccount.uniqueId" in the documentation of IAM). With names as
        long as guardrails allow it has 58 characters of 64, none of them a hyphen, which a role's id cannot have.
        """
        life = pulumi.Output.concat(args.naming.name("stop", args.host, "").replace("-", "_"), account.unique_id)
        role = projects.IAMCustomRole(
            f"{name}-stop-role",
            role_id=life,
            title=f"axion {args.naming.stack}: stop {args.host}",
            description="Lets a host that nobody uses stop itself.",
            permissions=[STOP_PERMISSION],
            stage="GA",
            opts=owned_by(self),
        )
        full_name: pulumi.Output[str] = role.name
        return full_name
