"""What Google's refusals mean and what to do next. Pure: reads text that gcloud, Pulumi or an API printed."""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from deployment.refusals.kinds import OTHER_STEP, Kind, refusals

__all__ = ["CloudError", "Kind", "classify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudError:
    """A refusal: its kind, the line that says so, and the next step."""

    kind: Kind
    line: str
    next_step: str

    def problem(self, where: str) -> str:
        """`where: what, got X. Do Y.`"""
        return f"{where}: {self.kind.value}, got {self.line.rstrip('.')}. {self.next_step}"


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
    for refusal in refusals():
        if match := refusal.pattern.search(flat):
            line = _telling(lines, match.start(), match.end())
            return CloudError(kind=Kind[refusal.kind], line=_short(line), next_step=refusal.next_step(flat))
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
