"""What Google's refusals mean and what to do next. Pure: reads text that gcloud, Pulumi or an API printed."""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from deployment.refusals.kinds import OTHER_STEP, RULES, Kind

__all__ = ["CloudError", "Kind", "classify"]


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
    Kind.TOO_FAST: "too many calls in too short a time",
    Kind.STOCKOUT: "Google has no such machine free there",
    Kind.NOT_OFFERED: "the zone does not have it",
    Kind.PERMISSION: "the account may not do this",
    Kind.API_DISABLED: "an API of Google's is off in the project",
    Kind.QUOTA_PROJECT: "no project that pays for this call",
    Kind.BILLING: "the project has no billing account that is open",
    Kind.ORG_POLICY: "the organisation's policy forbids it",
    Kind.PERIMETER: "outside of a VPC Service Controls perimeter",
    Kind.NOT_LOGGED_IN: "not logged in",
    Kind.NOT_FOUND: "not there",
    Kind.NAME_TAKEN: "a name that somebody else has",
    Kind.ROLE_DELETED: "an id that a deleted role still holds",
    Kind.ACCOUNT_DELETED: "a grant that still names a deleted account",
    Kind.ALREADY_EXISTS: "there already, and not in this stack's state",
    Kind.IN_USE: "still used by something else",
    Kind.NOT_YET: "not ready yet",
    Kind.CONCURRENT: "changed by somebody else at the same moment",
    Kind.DISK_LIMIT: "a disk's performance was changed a short while ago",
    Kind.KEY: "the encryption key may not be used",
    Kind.PROTECTED: "it holds data, and Pulumi may not delete it",
    Kind.DELETION_PROTECTED: "protected against deletion",
    Kind.NOT_EMPTY: "not empty",
    Kind.LOCKED: "another run holds the stack, or was killed",
    Kind.SECRETS: "the stack's secrets cannot be opened",
    Kind.NO_STACK: "no such stack",
    Kind.INVALID: "Google takes it for a mistake",
    Kind.UNREACHABLE: "Google did not answer",
    Kind.OTHER: "failed",
}
LINE_CHARACTERS_MAX = 300
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# What surrounds the sentence: of an error's body, of its details in YAML or JSON, of the bridge's log.
MESSAGE = re.compile(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)"')
DETAIL = re.compile(
    r"""^[-{}\[\],'"@]|^(reason|domain|type|violations|metadata|subject|description|service|code)\b.*:"""
)
HEADING = re.compile(r"^(error|warning):.*:$|^\d+ errors? occurred:$", re.IGNORECASE)
# Pulumi's advice to whoever is refused a protected resource is how its data gets lost.
ADVICE = re.compile(r"\. To unprotect the resource, .*$")
BRIDGE = re.compile(r"^sdk-v2/[\w.]+:\d+:\s*sdk\.helper_schema:\s*|:\s*provider=[\w-]+@[\w.+-]+$")
GCLOUD = re.compile(r"^\([\w.-]+\)\s*")
OPENING = re.compile(r"^((error|warning):|[*-])\s*", re.IGNORECASE)


def classify(text: str) -> CloudError:
    """Find the most telling kind, also across lines. Text that says nothing known is OTHER, with its first error."""
    lines = [line.strip() for line in COLOUR.sub("", text).splitlines() if line.strip()]
    flat = " ".join(lines)
    for kind, pattern, step in RULES:
        match = pattern.search(flat)
        if match:
            line = _telling(lines, match.start(), match.end())
            return CloudError(kind=kind, line=_short(line), next_step=step if isinstance(step, str) else step(flat))
    errors = [line for line in lines if line.lower().startswith("error")]
    first = (errors or lines or ["no message"])[0]
    return CloudError(kind=Kind.OTHER, line=_short(first), next_step=OTHER_STEP)


def _telling(lines: list[str], start: int, end: int) -> str:
    """The line or lines that a match spans; where that is a detail for programs, the sentence that it belongs to."""
    offsets = [0, *accumulate(len(line) + 1 for line in lines)]
    first, last = (bisect_right(offsets, position) - 1 for position in (start, max(start, end - 1)))
    spanned = " ".join(lines[first : last + 1])
    if not DETAIL.match(OPENING.sub("", spanned)) or MESSAGE.search(spanned):
        return spanned
    sentences = [line for line in lines if MESSAGE.search(line)]
    sentences += [line for line in lines if not DETAIL.match(OPENING.sub("", line)) and not HEADING.match(line)]
    return sentences[0] if sentences else spanned


def _short(line: str) -> str:
    """The line without what only programs read."""
    inner = MESSAGE.search(line)
    line = json.loads(f'"{inner[1]}"', strict=False) if inner else line
    for surrounding in (OPENING, GCLOUD, BRIDGE, BRIDGE, ADVICE):
        line = surrounding.sub("", line)
    return line if len(line) <= LINE_CHARACTERS_MAX else f"{line[: LINE_CHARACTERS_MAX - 3]}..."
