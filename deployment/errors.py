"""Mistakes of the person who wrote a file: reported together, each with what to do, and without a traceback."""

from collections.abc import Sequence

from deployment.sentence import ended_once


class ConfigError(Exception):
    """Every problem found, each of the form `where: what, got X. Do Y.`"""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(ended_once(problem) for problem in problems)
        super().__init__("\n".join(self.problems))
