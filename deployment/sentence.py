"""The one place where a sentence for a person gets its end.

Problems are built as `where: what, got {text}. Do Y.`, and the text is often another program's, which ends as it likes:
with a full stop, with three, with a colon or a line break. Nobody who builds one has to know.
"""

import re

# Not after a slash or a blank: there `..` is a directory, and a full stop alone may be one as well.
ENDED = re.compile(r"(?<=[^\s./])(\.\.\.|[.!?…])[ \n]*\.(?=\s|$)")
OPEN = re.compile(r"(?<=[^\s./])[:;,]\n*\.(?=\s|$)")
BROKEN = re.compile(r"(?<=\w)\n+\.(?=\s|$)")


def ended_once(text: str) -> str:
    """A text in which no sentence has two ends. Idempotent."""
    return BROKEN.sub(".", OPEN.sub(".", ENDED.sub(r"\1", text)))
