"""Mistakes of the person who wrote a file: reported together, each with what to do, and without a traceback."""

from collections.abc import Sequence


class ConfigError(Exception):
    """Every problem found, each of the form `where: what, got X. Do Y.`"""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
