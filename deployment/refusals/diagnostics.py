"""Which resources a run of Pulumi failed at, and what to do about each. Pure: reads what `pulumi` printed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from deployment.refusals.cloud_errors import COLOUR, CloudError, Kind, classify
from deployment.refusals.protection import kept

SECTION = re.compile(r"^Diagnostics:$", re.MULTILINE)
STACK = re.compile(
    r"^(Updating|Previewing update|Previewing destroy|Destroying|Refreshing) \((?P<name>[^)]+)\):$", re.MULTILINE
)
HEAD = re.compile(r"^  (?P<kind>\S+) \((?P<name>[^)]+)\):$")
END = re.compile(r"^\S")
ERROR = re.compile(r"^error: ", re.MULTILINE | re.IGNORECASE)
HOST = re.compile(r"^(?:host|identity)-([a-z0-9]+)(?:-|$)|^models-data-([a-z0-9]+)(?:-|$)")
"""A host's name within the names of its resources (infra/host.py, infra/identity.py, infra/model_store.py)."""
OURS = re.compile(r"^(?:error: )?Pulumi\.[\w-]+\.yaml(?::\d+)? config\..*$", re.MULTILINE)
"""A mistake in the stack's file: infra/configuration.py says all of them in one message."""
# What Pulumi adds when something else has failed.
ECHOES = ("error: update failed", "error: preview failed", "error: destroy failed", "error: refresh failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A resource that failed, and in what words."""

    kind: str
    name: str
    text: str
    is_destroy: bool = False

    @property
    def error(self) -> CloudError:
        """What it means. A destroy stops at data as a change does, and has other ways on."""
        error = classify(self.text)
        is_kept = self.is_destroy and error.kind is Kind.PROTECTED
        return replace(error, next_step=kept(self.text)) if is_kept else error

    def problem(self) -> str:
        """`where: what, got X. Do Y.`, with the host where one of its resources failed."""
        line = self.error.problem(f"{self.kind.rpartition(':')[2]} {self.name}")
        host = HOST.search(self.name)
        return line.replace("--host HOST", f"--host {host[1] or host[2]}") if host else line

    def problems(self) -> tuple[str, ...]:
        """As `problem`, but what this program found itself as it said it, each on a line of its own."""
        ours = OURS.findall(self.text)
        return tuple(line.removeprefix("error: ") for line in ours) or (self.problem(),)


def explained(output: str) -> tuple[str, ...]:
    """What to do about each failure, one line each."""
    output = _plain(output)
    stack = STACK.search(output)
    lines = [line for each in failures(output) for line in each.problems()]
    first = ERROR.search(output)
    if first and not lines:
        # Neither gcloud nor a Pulumi that does not begin has diagnostics: a lock, a passphrase, a name.
        who = "gcloud" if "(gcloud." in output else "pulumi"
        lines = [classify(output[first.start() :]).problem(who)]
    return tuple(line.replace("--stack NAME", f"--stack {stack['name']}") if stack else line for line in lines)


def failures(output: str) -> tuple[Failure, ...]:
    """Everything that a run failed at, in the order of its diagnostics; each once."""
    output = _plain(output)
    stack, sections = STACK.search(output), SECTION.split(output)[1:]
    is_destroy = stack is not None and "estroy" in stack[1]
    found = {(kind, name): text for section in sections for kind, name, text in _blocks(section)}
    return tuple(
        Failure(kind=kind, name=name, text=text, is_destroy=is_destroy) for (kind, name), text in found.items()
    )


def _plain(output: str) -> str:
    """As a terminal shows it: logs of continuous integration keep the colours."""
    return COLOUR.sub("", output).replace("\r\n", "\n")


def _blocks(section: str) -> Iterator[tuple[str, str, str]]:
    kind = name = ""
    lines: list[str] = []
    for line in [*section.splitlines(), "end"]:
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
