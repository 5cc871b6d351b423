"""Run a compilation, show its lines as they come, and when it fails say why on stderr: the last lines alone never do.

Input: the command. Build tools end with pages about who called whom; the line that matters is far above.
"""

import re
import signal
import subprocess
import sys
from collections import deque

KEPT_LINES = 4000
TOLD_LINES = 12
CAUSE = re.compile(
    r"\berror\b:|^\s*CMake Error|^\s*FAILED:|undefined reference|No space left|Killed|cannot find -l", re.IGNORECASE
)
PIPS_OWN = re.compile(
    r"error: (subprocess-exited-with-error|metadata-generation-failed|failed-wheel-build)", re.IGNORECASE
)
TOO_BIG = re.compile(r"Killed signal|Killed\b.*cc1plus|virtual memory exhausted|Cannot allocate memory", re.IGNORECASE)


def causes(lines: "list[str]") -> "list[str]":
    """The lines that name a cause. CMake says it in the lines below its own, indented; pip indents everything."""
    found: list[str] = []
    margin = None
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if CAUSE.search(line) and not PIPS_OWN.search(line):
            found.append(line)
            margin = depth if "CMake Error" in line else None
        elif margin is not None and line.strip():
            if depth <= margin:
                margin = None
            else:
                found.append(line)
    return found


def why(lines: "list[str]", status: int) -> "list[str]":
    """The first lines that name a cause, or the last ones where none does."""
    told = causes(lines)[:TOLD_LINES] or lines[-TOLD_LINES:]
    if any(TOO_BIG.search(line) for line in lines) or status == -signal.SIGKILL:
        told.append("A compiler ran out of memory: stop engines, or give the build a host with more memory.")
    return told


def main() -> int:
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    process = subprocess.Popen(
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    for line in process.stdout:
        kept.append(line.rstrip())
        print(line, end="", flush=True)
    status = process.wait()
    if status:
        print("\n".join(why(list(kept), status)), file=sys.stderr)
    return 1 if status < 0 else status
