"""What stops a task with a message for a person instead of a traceback."""

from collections.abc import Iterable

from deployment.errors import ended_once


class DeployError(Exception):
    """One or more problems, each of the form `where: what, got X. Do Y.`; the task exits with 1."""

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(ended_once(problem) for problem in problems)
        super().__init__("\n".join(self.problems))

    @classmethod
    def of(cls, problems: Iterable[str]) -> "DeployError":
        return cls(*problems)


class UnnotedError(DeployError):
    """A release serves, and something about it could not be written down. It is no reason to withdraw it."""


class NoConnectionError(DeployError):
    """There is no way to a host: nothing was asked of it, and asking again would wait as long for the same answer."""


class ConnectionLostError(DeployError):
    """The way to a host broke while something ran there; whether it goes on there is not known."""
