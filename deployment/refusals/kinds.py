"""Kinds of refusals, by what a person has to do about them; refusals.toml has the words by which each is known."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from deployment.refusals.next_steps import found


class Kind(Enum):
    """What stands in the way, in words."""

    QUOTA = "the project's quota is too small"
    TOO_FAST = "too many calls in too short a time"
    STOCKOUT = "Google has no such machine free there"
    NOT_OFFERED = "the zone does not have it"
    PERMISSION = "the account may not do this"
    API_DISABLED = "an API of Google's is off in the project"
    QUOTA_PROJECT = "no project that pays for this call"
    BILLING = "the project has no billing account that is open"
    ORG_POLICY = "the organisation's policy forbids it"
    PERIMETER = "outside of a VPC Service Controls perimeter"
    NOT_LOGGED_IN = "not logged in"
    NOT_FOUND = "not there"
    NAME_TAKEN = "a name that somebody else has"
    ROLE_DELETED = "an id that a deleted role still holds"
    ACCOUNT_DELETED = "a grant that still names a deleted account"
    ALREADY_EXISTS = "there already, and not in this stack's state"
    IN_USE = "still used by something else"
    NOT_YET = "not ready yet"
    CONCURRENT = "changed by somebody else at the same moment"
    DISK_LIMIT = "a disk's performance was changed a short while ago"
    KEY = "the encryption key may not be used"
    PROTECTED = "it holds data, and Pulumi may not delete it"
    DELETION_PROTECTED = "protected against deletion"
    NOT_EMPTY = "not empty"
    LOCKED = "another run holds the stack, or was killed"
    SECRETS = "the stack's secrets cannot be opened"
    NO_STACK = "no such stack"
    INVALID = "Google takes it for a mistake"
    UNREACHABLE = "Google did not answer"
    OTHER = "failed"


OTHER_STEP = "Read the message; `fab doctor --stack NAME` looks for what else stands in the way."


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An entry of refusals.toml, under the names that are explained there."""

    kind: str
    words: list[str]
    then: str = ""
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    step: str | None = None

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(self.words), re.IGNORECASE)

    def next_step(self, text: str) -> str:
        """What to do about a message."""
        if self.step is not None:
            decide: Callable[[str], str] = resolve_name(f"deployment.refusals.{self.step}")
            return decide(text)
        return self.then.format(**{name: _said(how, text) for name, how in self.names.items()})


def _said(how: Mapping[str, str], text: str) -> str:
    named = found(how["found"], text)
    return how.get("as", "{}").format(named) if named else how["else"]


@cache
def table() -> Mapping[str, Any]:
    """What refusals.toml says."""
    return tomllib.loads(Path(__file__).with_name("refusals.toml").read_text(encoding="utf-8"))


@cache
def refusals() -> tuple[Refusal, ...]:
    """Every entry, in the order in which they are tried."""
    return tuple(Refusal(**entry) for entry in table()["refusal"])
