"""One thing that was looked at, and what was found: what `fab doctor` and `fab verify` show."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "warn", "skip", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    verdict: Verdict
    finding: str
    """Words without a full stop."""

    def as_data(self) -> dict[str, str]:
        """For programs."""
        return {"check": self.name, "verdict": self.verdict, "finding": self.finding}
