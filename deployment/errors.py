"""Mistakes of the person who wrote a file: reported together, each with what to do, and without a traceback.

Problems are built as `where: what, got {text}. Do Y.`, and the text is often another program's, which ends as it likes:
with a full stop, with three, with a colon or a line break. Here a sentence gets its end; nobody who builds one has to
know.
"""

import re
from collections.abc import Sequence

# Not after a slash or a blank: there `..` is a directory, and a full stop alone may be one as well.
ENDED = re.compile(r"(?<=[^\s./])(\.\.\.|[.!?…])[ \n]*\.(?=\s|$)")
OPEN = re.compile(r"(?<=[^\s./])[:;,]\n*\.(?=\s|$)")
BROKEN = re.compile(r"(?<=\w)\n+\.(?=\s|$)")


def ended_once(text: str) -> str:
    """A text in which no sentence has two ends. Idempotent."""
    return BROKEN.sub(".", OPEN.sub(".", ENDED.sub(r"\1", text)))


class ConfigError(Exception):
    """Every problem found, each of the form `where: what, got X. Do Y.`"""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(ended_once(problem) for problem in problems)
        super().__init__("\n".join(self.problems))
