"""What of a process's log tells why it ended. vLLM wraps one error in many: the cause stands far above the end."""

import re

# After the prefixes of journal, supervisor and vLLM's own logger: `... [core.py:1510] RuntimeError: text`.
ERROR = re.compile(r"(?:^|[\s\]])((?:\w+\.)*(?:[A-Z]\w*)?(?:Error|Exception|Exit|Interrupt)): (\S.*)$")
# They only say that another process of the engine failed.
WRAPPERS = (
    "Engine core initialization failed",
    "Failed core proc",
    "Worker failed with error",
    "WorkerProc initialization",
)
SHOWN_LINES = 12
ERRORS = 3


def last_words(log: str, release: str) -> list[str]:
    """Return the errors that a log names, first ones first and each once, then its end.

    What happened before the launcher began with this release is another story.
    """
    lines = log.splitlines()
    begun = [number for number, line in enumerate(lines) if "launch: " in line and f": release {release}," in line]
    lines = lines[begun[0] :] if begun else lines
    found = dict.fromkeys(f"{match[1]}: {match[2]}" for match in map(ERROR.search, lines) if match)
    causes = [error for error in found if not any(wrapper in error for wrapper in WRAPPERS)]
    return [*causes[:ERRORS], *lines[-SHOWN_LINES:]]
