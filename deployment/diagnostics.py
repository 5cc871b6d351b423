"""Which resources a run of Pulumi failed at, and what to do about each. Pure: reads what `pulumi` printed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from deployment.cloud_errors import CloudError, classify

SECTION = "Diagnostics:"
STACK = re.compile(
    r"^(Updating|Previewing update|Previewing destroy|Destroying|Refreshing) \((?P<name>[^)]+)\):$", re.MULTILINE
)
HEAD = re.compile(r"^  (?P<kind>\S+) \((?P<name>[^)]+)\):$")
END = re.compile(r"^\S")
# What Pulumi adds when something else has failed.
ECHOES = ("error: update failed", "error: preview failed", "error: destroy failed", "error: refresh failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A resource that failed, and in what words."""

    kind: str
    name: str
    text: str

    @property
    def error(self) -> CloudError:
        """What it means."""
        return classify(self.text)

    def problem(self) -> str:
        """`where: what, got X. Do Y.`"""
        return self.error.problem(f"{self.kind.rpartition(':')[2]} {self.name}")


def explained(output: str) -> tuple[str, ...]:
    """What to do about each failure, one line each."""
    stack = STACK.search(output)
    lines = (each.problem() for each in failures(output))
    return tuple(line.replace("--stack NAME", f"--stack {stack['name']}") if stack else line for line in lines)


def failures(output: str) -> tuple[Failure, ...]:
    """Everything that a run failed at, in the order of its diagnostics; each once."""
    found = {(kind, name): text for kind, name, text in _blocks(output)}
    return tuple(Failure(kind=kind, name=name, text=text) for (kind, name), text in found.items())


def _blocks(output: str) -> Iterator[tuple[str, str, str]]:
    kind = name = ""
    lines: list[str] = []
    # The preview that `up` begins with has a section of its own.
    for line in [*output.rpartition(f"\n{SECTION}\n")[2].splitlines(), "end"]:
        head = HEAD.match(line)
        if (head or END.match(line)) and name:
            text = "\n".join(lines).strip()
            if "error:" in text:
                yield kind, name, text
            kind, name, lines = "", "", []
        if head:
            kind, name = head["kind"], head["name"]
        elif END.match(line):
            return
        elif name and line.strip() not in ECHOES and not line.strip().startswith("warning:"):
            lines.append(line.strip())
