"""What Google's refusals mean and what to do next. Pure: reads text that gcloud, Pulumi or an API printed."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from deployment.organisation import OWNERS_STEPS


class Kind(StrEnum):
    """What stands in the way, by what a person has to do about it."""

    QUOTA = "QUOTA"
    STOCKOUT = "STOCKOUT"
    PERMISSION = "PERMISSION"
    API_DISABLED = "API_DISABLED"
    NOT_LOGGED_IN = "NOT_LOGGED_IN"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    IN_USE = "IN_USE"
    INVALID = "INVALID"
    UNREACHABLE = "UNREACHABLE"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudError:
    """A refusal: its kind, the line that says so, and the next step."""

    kind: Kind
    line: str
    next_step: str

    def problem(self, where: str) -> str:
        """`where: what, got X. Do Y.`"""
        return f"{where}: {WHAT[self.kind]}, got {self.line.rstrip('.')}. {self.next_step}"


WHAT = {
    Kind.QUOTA: "the project's quota is too small",
    Kind.STOCKOUT: "Google has no such machine free there",
    Kind.PERMISSION: "the account may not do this",
    Kind.API_DISABLED: "an API of Google's is off in the project",
    Kind.NOT_LOGGED_IN: "not logged in",
    Kind.NOT_FOUND: "not there",
    Kind.ALREADY_EXISTS: "there already, and not in this stack's state",
    Kind.IN_USE: "still used by something else",
    Kind.INVALID: "Google takes it for a mistake",
    Kind.UNREACHABLE: "Google did not answer",
    Kind.OTHER: "failed",
}

# In this order: a disabled API and a missing login come as 403 and 401 too, and a stock-out mentions resources.
PATTERNS: tuple[tuple[Kind, str], ...] = (
    (
        Kind.NOT_LOGGED_IN,
        r"do(es)? not currently have an active account|gcloud auth (application-default )?login|could not find default "
        r"credentials|invalid authentication credentials|Reauthentication (required|failed)|invalid_grant"
        r"|(?-i:\bUNAUTHENTICATED\b)|missing google credentials|\bError 401\b",
    ),
    (
        Kind.API_DISABLED,
        r"SERVICE_DISABLED|accessNotConfigured|API has not been used in project|API \[[\w.]+\] not enabled"
        r"|it is disabled\. Enable it by visiting",
    ),
    (
        Kind.STOCKOUT,
        r"ZONE_RESOURCE_POOL_EXHAUSTED(_WITH_DETAILS)?|resource pool exhausted|state:\s*STOCKOUT|\bstockout\b"
        r"|does not have enough resources available|VM instance is currently unavailable in the",
    ),
    (
        Kind.QUOTA,
        r"QUOTA_EXCEEDED|quotaExceeded|Quota '[^']+' exceeded|Quota limit .* has been exceeded|\bRESOURCE_EXHAUSTED\b"
        r"|Quota exceeded for quota metric|\brateLimitExceeded\b|\bError 429\b",
    ),
    (
        Kind.PERMISSION,
        r"PERMISSION_DENIED|Required '[^']+' permission|IAM_PERMISSION_DENIED|does not have permission"
        r"|Permission '[^']+' denied|lacks permission|does not have [\w.]+ access|\bError 403\b|\bHTTPError 403\b"
        r"|code[=:] ?403|SERVICE_ACCOUNT_ACCESS_DENIED|does not have access to service account"
        r"|Cross-project references for this resource",
    ),
    (Kind.ALREADY_EXISTS, r"alreadyExists|\balready exists\b|ALREADY_EXISTS|\bError 409\b.*exist"),
    (Kind.IN_USE, r"resourceInUseByAnotherResource|RESOURCE_IN_USE|is already being used by|being used by"),
    (
        Kind.NOT_FOUND,
        r"was not found|\bnot found: 404\b|\bnotFound\b|\bNOT_FOUND\b|\bError 404\b|\bHTTPError 404\b|does not exist",
    ),
    (
        Kind.UNREACHABLE,
        r"timed? ?out|deadline exceeded|connection (refused|reset|aborted)|Max retries exceeded|Name or service not "
        r"known|Temporary failure in name resolution|\b(HTTPError|Error) 5\d\d\b|\bbackendError\b|network is "
        r"unreachable|\bUNAVAILABLE\b|'status': 5\d\d|Remote end closed connection|\bEOF\b",
    ),
    (
        Kind.INVALID,
        r"\bError 400\b|\bHTTPError 400\b|Invalid value for field|\bINVALID_ARGUMENT\b|Invalid JSON payload"
        r"|features are not compatible",
    ),
)
COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in PATTERNS)
API = re.compile(r"\b([a-z]+(?:-[a-z]+)*\.googleapis\.com)\b")
LINE_CHARACTERS_MAX = 300


def classify(text: str) -> CloudError:
    """Find the first line of the most telling kind. Text that says nothing known is OTHER, with its first error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for kind, pattern in COMPILED:
        for line in lines:
            if pattern.search(line):
                return CloudError(kind=kind, line=_short(line), next_step=NEXT[kind](text))
    errors = [line for line in lines if line.lower().startswith("error")]
    first = (errors or lines or ["no message"])[0]
    return CloudError(kind=Kind.OTHER, line=_short(first), next_step=NEXT[Kind.OTHER](text))


def _short(line: str) -> str:
    """The line without what only programs read."""
    inner = re.search(r"content <.*\"message\": \"((?:[^\"\\]|\\.)*)\"", line)
    line = json.loads(f'"{inner[1]}"', strict=False) if inner else line
    line = re.sub(r"^(error:|ERROR:|WARNING:|-)\s*", "", line)
    line = re.sub(r"^\([\w.-]+\)\s*", "", line)
    return line if len(line) <= LINE_CHARACTERS_MAX else f"{line[: LINE_CHARACTERS_MAX - 3]}..."


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return next((group for group in match.groups() if group), None) if match else None


def _quota(text: str) -> str:
    if re.search(r"per minute|rateLimitExceeded", text):
        return "Too many calls at once: wait a minute and run the same command again; it goes on where it stopped."
    metric = _found(r"Quota '([^']+)'|Quota limit '([^']+)'", text)
    region = _found(r"in region ([a-z0-9-]+)", text)
    limit = _found(r"Limit: ([0-9.]+)", text)
    what = f"more {metric}" if metric else "a higher quota"
    has = f" (the limit is {limit})" if limit else ""
    where = f" in {region}" if region else ""
    return (
        f"Ask for {what}{where}{has} at https://console.cloud.google.com/iam-admin/quotas, or take a smaller machine."
    )


def _stockout(text: str) -> str:
    zone = _found(r"zones?/([a-z]+-[a-z]+\d+-[a-z])|\b([a-z]+-[a-z]+\d+-[a-z])\b", text)
    return (
        f"Choose another zone{f' than {zone}' if zone else ''} or shape (`fab doctor --stack NAME` asks who has it), "
        "or try again later: what was created stays, and `pulumi up` goes on from there."
    )


def _permission(text: str) -> str:
    for pattern, step in OWNERS_STEPS:
        if re.search(pattern, text):
            return step
    permission = _found(r"Required '([\w.]+)' permission|[Pp]ermission '?([\w.]+\.[\w.]+)'?|have ([\w.]+) access", text)
    what = permission or "the permission that the message names"
    return f"Have an owner of the project grant {what} to the account of `gcloud config get account`."


def _api(text: str) -> str:
    api = _found(API.pattern, text) or "the API"
    return f"Run `gcloud services enable {api}` and wait a minute."


def _unreachable(text: str) -> str:
    if "Error creating" in text:
        return (
            "It may have been created all the same: run `fab recover --stack NAME`, which asks and imports it; then "
            "`pulumi up` again."
        )
    return "Check the network and run the same command again: it goes on where it stopped."


def _always(step: str) -> Callable[[str], str]:
    return lambda _text: step


NEXT: dict[Kind, Callable[[str], str]] = {
    Kind.QUOTA: _quota,
    Kind.STOCKOUT: _stockout,
    Kind.PERMISSION: _permission,
    Kind.API_DISABLED: _api,
    Kind.NOT_LOGGED_IN: _always("Run `gcloud auth login` and `gcloud auth application-default login`."),
    Kind.NOT_FOUND: _always("Check project, zone and name; if it was removed by hand, run `pulumi refresh`."),
    Kind.ALREADY_EXISTS: _always("Run `fab recover --stack NAME`: it imports what an interrupted run created."),
    Kind.IN_USE: _always("Remove what uses it first: `fab census --stack NAME` prints the commands in their order."),
    Kind.INVALID: _always("Correct the value that the message names; nothing was created by this call."),
    Kind.UNREACHABLE: _unreachable,
    Kind.OTHER: _always("Read the message; `fab doctor --stack NAME` looks for what else stands in the way."),
}
