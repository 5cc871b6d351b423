"""Whether Google would take a stack's labels, ours among them. Each finding: the way within axion:labels, and what."""

from collections.abc import Iterator, Mapping

Finding = tuple[tuple[str, ...], str]

OURS = ("axion-stack", "axion-component", "managed-by")
"""What every resource of a stack carries; infra/naming gives the values."""
ATTRIBUTION = "goog-pulumi-provisioned"
"""What Google's provider adds by itself (its setting addPulumiAttributionLabel)."""
# Google, "Labels overview", requirements for labels.
MOST = 64


def label_problems(labels: Mapping[str, str]) -> Iterator[Finding]:
    """What Google refuses. Single keys and values were checked when the file was read."""
    added = {*OURS, ATTRIBUTION}
    total = len(added | set(labels))
    if total > MOST:
        room = MOST - len(added)
        yield (), f"too many for one resource, got {total} with ours and Google's, of at most {MOST}. Keep {room}."


def label_warnings(labels: Mapping[str, str]) -> Iterator[Finding]:
    """What is taken, and does not mean what it seems to."""
    for key in labels:
        if key in OURS:
            yield (key,), "ours wins over it, got a label that the census looks for. Delete it"
        elif key.startswith("goog") and key != ATTRIBUTION:
            yield (key,), "keys that begin with goog are kept for Google's own, got one. It may be refused; rename it"
