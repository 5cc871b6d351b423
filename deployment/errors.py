"""Mistakes of the person who wrote a file: reported together, each with what to do, and without a traceback.

Problems are built as `where: what, got {text}. Do Y.`, and the text is often another program's, which ends as it likes:
with a full stop, with three, with a colon or a line break. Here a sentence gets its end; nobody who builds one has to
know. Nor may a terminal obey what a file or a host put into one: characters that cannot be printed are shown as JSON
writes them.
"""

import json
import re
from collections.abc import Sequence

# Not after a slash or a blank: there `..` is a directory, and a full stop alone may be one as well.
ENDED = re.compile(r"(?<=[^\s./])(\.\.\.|[.!?…])[ \n]*\.(?=\s|$)")
OPEN = re.compile(r"(?<=[^\s./])[:;,]\n*\.(?=\s|$)")
BROKEN = re.compile(r"(?<=\w)\n+\.(?=\s|$)")
CONTROL = re.compile(r"[^\n\t\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")
"""Control characters, halves of characters, and what turns the direction in which what follows is read."""
UNPRINTABLE = re.compile(rf"{CONTROL.pattern}|[\u200e\u200f\u2028\u2029]")
"""They, and marks of direction and ends of lines, which a text may have and a terminal need not."""


def ended_once(text: str) -> str:
    """A text in which no sentence has two ends, and nothing commands a terminal. Idempotent."""
    return BROKEN.sub(".", OPEN.sub(".", ENDED.sub(r"\1", printable(text))))


def printable(text: str) -> str:
    """A text as a terminal may get it."""
    return UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def why(error: Exception) -> str:
    """Why a file or an address cannot be read or written, where it is named already."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start + 1}"
    cause = getattr(error, "reason", error)  # urllib puts what happened into an error of its own
    return getattr(cause, "strerror", None) or str(cause)


class ConfigError(Exception):
    """Every problem found, each of the form `where: what, got X. Do Y.`"""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(ended_once(problem) for problem in problems)
        super().__init__("\n".join(self.problems))
