"""What stops a task with a message for a person instead of a traceback."""

from collections.abc import Iterable


class DeployError(Exception):
    """One or more problems, each of the form `where: what, got X. Do Y.`; the task exits with 1."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    @classmethod
    def of(cls, problems: Iterable[str]) -> "DeployError":
        return cls(*problems)


class ConnectionLostError(DeployError):
    """The way to a host broke while something ran there; whether it goes on there is not known."""
