"""Kinds of refusals, by what a person has to do about them, and the words by which each is known.

The words are Google's and Pulumi's own; tests/unit/deployment/refusals/test_cloud_errors.py has each in full, with
where it was read.
"""

import re
from collections.abc import Callable
from enum import StrEnum

from deployment.refusals.next_steps import (
    account_deleted,
    api,
    billing,
    deletion_protected,
    in_use,
    invalid,
    key,
    name_taken,
    not_empty,
    not_offered,
    owned,
    permission,
    quota,
    quota_project,
    role_deleted,
    stockout,
    unreachable,
)
from deployment.refusals.org_policies import org_policy, perimeter
from deployment.refusals.protection import protected


class Kind(StrEnum):
    """What stands in the way."""

    QUOTA = "QUOTA"
    TOO_FAST = "TOO_FAST"
    STOCKOUT = "STOCKOUT"
    NOT_OFFERED = "NOT_OFFERED"
    PERMISSION = "PERMISSION"
    API_DISABLED = "API_DISABLED"
    QUOTA_PROJECT = "QUOTA_PROJECT"
    BILLING = "BILLING"
    ORG_POLICY = "ORG_POLICY"
    PERIMETER = "PERIMETER"
    NOT_LOGGED_IN = "NOT_LOGGED_IN"
    NOT_FOUND = "NOT_FOUND"
    NAME_TAKEN = "NAME_TAKEN"
    ROLE_DELETED = "ROLE_DELETED"
    ACCOUNT_DELETED = "ACCOUNT_DELETED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    IN_USE = "IN_USE"
    NOT_YET = "NOT_YET"
    CONCURRENT = "CONCURRENT"
    DISK_LIMIT = "DISK_LIMIT"
    KEY = "KEY"
    PROTECTED = "PROTECTED"
    DELETION_PROTECTED = "DELETION_PROTECTED"
    NOT_EMPTY = "NOT_EMPTY"
    LOCKED = "LOCKED"
    SECRETS = "SECRETS"
    NO_STACK = "NO_STACK"
    INVALID = "INVALID"
    UNREACHABLE = "UNREACHABLE"
    OTHER = "OTHER"


Step = str | Callable[[str], str]
AGAIN = "run the same command again: it goes on where it stopped."
OTHER_STEP = "Read the message; `fab doctor --stack NAME` looks for what else stands in the way."

# In this order. The codes 403, 409 and 412 are shared by many: what says more comes first.
TABLE: tuple[tuple[Kind, str, Step], ...] = (
    (
        Kind.PROTECTED,
        r'(?:unable to replace )?resource "[^"]+" (?:as part of replacing "[^"]+" |cannot be deleted )?'
        r"(?:because it is protected|as it is currently marked for protection)|delete protected resource",
        protected,
    ),
    (
        Kind.LOCKED,
        r"stack is (currently|already) locked|currently locked by \d+ lock|[Aa]nother update is currently in progress",
        "If nobody is running Pulumi on it, run `fab recover --stack NAME`; it says who holds the lock.",
    ),
    (
        Kind.SECRETS,
        r"passphrase must be set with|incorrect passphrase",
        "Set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE, to the one that the stack was made with.",
    ),
    (Kind.NO_STACK, r"no stack named '", "`pulumi stack ls` tells those there are; `pulumi stack init` makes one."),
    (
        Kind.PERIMETER,
        r"vpcServiceControlsUniqueIdentifier|VPC_SERVICE_CONTROLS|SECURITY_POLICY_VIOLATED"
        r"|Request is prohibited by organization's policy",
        perimeter,
    ),
    (
        Kind.ORG_POLICY,
        r"\b(?:custom)?constraints/[a-z]+\.\w+|Constraint [\w./]+ violated|CUSTOM_ORG_POLICY_VIOLATION"
        r"|denied by (?:custom )?org(?:anization)? polic|do not belong to a permitted customer"
        r"|(?:Key|Service account) creation is not allowed on this",
        org_policy,
    ),
    (
        Kind.BILLING,
        r"BILLING_DISABLED|UREQ_PROJECT_BILLING|BILLING_NOT_(?:FOUND|OPEN)|(?:requires|has) billing (?:to be enabled"
        r"|disabled)|Billing must be enabled|billing account for (?:the owning )?project|absent billing account"
        r"|closed billing account|accountDisabled",
        billing,
    ),
    (
        Kind.QUOTA_PROJECT,
        r"requires a quota project|end user credentials.{0,120}not supported|X-Goog-User-Project|USER_PROJECT_DENIED"
        r"|required permission to use project",
        quota_project,
    ),
    (
        Kind.NOT_LOGGED_IN,
        r"do(es)? not currently have an active account|gcloud auth (application-default )?login|could not find default "
        r"credentials|invalid authentication credentials|Reauthentication (required|failed)|invalid_grant|invalid_rapt"
        r"|(?-i:\bUNAUTHENTICATED\b)|missing google credentials|No credentials loaded|\bError 401\b",
        "Run `gcloud auth login` and `gcloud auth application-default login`.",
    ),
    (
        Kind.API_DISABLED,
        r"SERVICE_DISABLED|accessNotConfigured|API has not been used in project|API \[[\w.]+\] not enabled"
        r"|it is disabled\. Enable it by visiting",
        api,
    ),
    (
        Kind.KEY,
        r"cloudkms\.cryptoKeyVersions\.useTo|Cloud KMS (?:key|error)|CryptoKeyVersions?/\d+ is not enabled",
        key,
    ),
    (
        Kind.STOCKOUT,
        r"ZONE_RESOURCE_POOL_EXHAUSTED(_WITH_DETAILS)?|resource pool exhausted|state:\s*STOCKOUT|\bstockout\b"
        r"|does not have enough resources available|VM instance\b.{0,80} is currently unavailable|resource_availability"
        r"|not (?:currently )?have sufficient capacity",
        stockout,
    ),
    (Kind.NOT_OFFERED, r"Machine type with name '[^']+' does not exist in zone|is not available in zone", not_offered),
    (
        Kind.DISK_LIMIT,
        # Google's documentation has the limit, not its message: whatever speaks of both is taken for it.
        r"\b(?:size|iops|throughput|performance)\b.{0,200}(?:\brate.limited|\b(?:\d+|four) hours)"
        r"|(?:\brate.limited|\b(?:\d+|four) hours)\b.{0,200}\b(?:iops|throughput|provisioned performance)\b",
        "A Hyperdisk changes only so often, its performance once in 4 hours. Nothing is lost: wait, then run the same "
        "command.",
    ),
    (
        Kind.TOO_FAST,
        r"\bper minute\b|rateLimitExceeded|Rate Limit Exceeded|CONCURRENT_OPERATIONS_QUOTA_EXCEEDED|Too Many Requests"
        r"|OperationRateExceeded|OPERATION_RATE_EXCEEDED|Too frequent operations|\bError 429\b(?!.{0,200}\bper day\b)",
        f"Too many calls at once: wait a minute (after a disk's snapshots ten), and {AGAIN}",
    ),
    (
        Kind.QUOTA,
        r"QUOTA_EXCEEDED|quotaExceeded|Quota '[^']+' exceeded|Quota limit .{0,200} has been exceeded"
        r"|\bRESOURCE_EXHAUSTED\b|Quota exceeded for quota metric|\bError 429\b",
        quota,
    ),
    (Kind.ROLE_DELETED, r"role_id .{0,80}marked for deletion", role_deleted),
    (Kind.ACCOUNT_DELETED, r"representation of deleted member|of deleted member '", account_deleted),
    (
        Kind.NOT_YET,
        r"(?:Error 400|INVALID_ARGUMENT): Service account \S+ does not exist|Error reading service account after creat"
        r"|of type 'serviceAccount' was not found|is not ready\b|resourceNotReady|RESOURCE_NOT_READY",
        f"What was made a moment ago is not known everywhere at Google: wait a minute, and {AGAIN} Says it the same "
        "after ten, somebody removed it by hand: run `pulumi refresh --stack NAME` first.",
    ),
    (
        Kind.CONCURRENT,
        r"concurrent policy changes|(?-i:\bABORTED\b)|, aborted\b|operationInProgress|fingerprint does not match"
        r"|Invalid fingerprint|\betags?\b.{0,80}(?:stale|mismatch|not match|expired)|stale etag|concurrent edits"
        r"|Another activation or deactivation is in progress|pre-?conditions you specified did not hold",
        f"Nothing was changed by this call: {AGAIN[0].upper()}{AGAIN[1:]}",
    ),
    (
        Kind.DELETION_PROTECTED,
        r"protected against deletion|Deletion Protection is enabled|without setting deletion_?protection",
        deletion_protected,
    ),
    (Kind.NOT_EMPTY, r"tried to delete (?:is|was) not empty|containing objects without", not_empty),
    (Kind.NAME_TAKEN, r"requested bucket name is not available|bucket namespace is shared", name_taken),
    (Kind.ALREADY_EXISTS, r"and you already own it", owned),
    (
        Kind.PERMISSION,
        r"PERMISSION_DENIED|Required '[^']+' permission|IAM_PERMISSION_DENIED|does not have permission"
        r"|Permission '[^']+' denied|lacks permission|does not have [\w.]+ access|user does not have access to service"
        r"|SERVICE_ACCOUNT_ACCESS_DENIED|Cross-project references for this resource|\bError 403\b|\bHTTPError 403\b"
        r"|code[=:] ?403",
        permission,
    ),
    (
        Kind.ALREADY_EXISTS,
        r"alreadyExists|\balready exists\b|ALREADY_EXISTS|\bError 409\b.{0,300}exist",
        "Run `fab recover --stack NAME`: it imports what an interrupted run created.",
    ),
    (Kind.IN_USE, r"resourceInUseByAnotherResource|RESOURCE_IN_USE|is already being used by|being used by", in_use),
    (
        Kind.NOT_FOUND,
        r"was not found|\bnot found: 404\b|\bnotFound\b|\bNOT_FOUND\b|\bError 404\b|\bHTTPError 404\b|does not exist",
        "Check project, zone and name; if it was removed by hand, run `pulumi refresh`.",
    ),
    (
        Kind.UNREACHABLE,
        r"timed? ?out|deadline exceeded|connection (refused|reset|aborted)|Max retries exceeded|Name or service not "
        r"known|Temporary failure in name resolution|\b(HTTPError|Error) 5\d\d\b|\bbackendError\b|network is "
        r"unreachable|\bUNAVAILABLE\b|'status': 5\d\d|Remote end closed connection|\bEOF\b"
        r"|service is currently unavailable",
        unreachable,
    ),
    (
        Kind.INVALID,
        r"\bError 400\b|\bHTTPError 400\b|Invalid value for field|\bINVALID_ARGUMENT\b|Invalid JSON payload"
        r"|features are not compatible|\bError 412\b",
        invalid,
    ),
)
RULES = tuple((kind, re.compile(pattern, re.IGNORECASE), step) for kind, pattern, step in TABLE)
