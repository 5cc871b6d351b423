"""What really runs behind this cloud's instances: nothing, unless somebody plugs in machines (`support/rehearsal`)."""

from collections.abc import Callable
from typing import Any, Protocol

Json = dict[str, Any]


class Machines(Protocol):
    """All verbs are called with the cloud's lock held: they begin something and return at once."""

    def power_on(self, path: str, instance: Json) -> None:
        """Boot an instance; a machine that ends by itself says so in the instance's status."""
        ...

    def power_off(self, path: str) -> Callable[[], bool]:
        """Have the system end in good order; the answer tells when it is off."""
        ...

    def reset(self, path: str) -> None:
        """Cut the power and boot again."""
        ...

    def copied(self, source: str, target: str) -> None:
        """A snapshot takes what is on a disk, or a new disk what is in a snapshot."""
        ...

    def removed(self, path: str) -> None:
        """A resource is gone: an instance's machine, which is off by then, or what was on a disk."""
        ...
