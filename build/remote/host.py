"""A place to act on, and somebody to tell."""

from dataclasses import dataclass

from build.progress import Reporter
from build.remote.executor import Executor
from build.remote.target import Target


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a task."""

    target: Target
    executor: Executor
    reporter: Reporter
