"""Which hosts a task is for: those of a stack, of a written inventory, or this computer, which needs no SSH."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build.progress import Reporter
from build.remote.executor import Executor, LocalExecutor
from build.remote.host import Host
from build.remote.target import local_target
from deployment.errors import ConfigError

if TYPE_CHECKING:
    from deployment.stack.inventory import Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a person named on the command line."""

    stack: str | None = None
    inventory: str | None = None
    host: str | None = None

    def __post_init__(self) -> None:
        if self.stack is not None and self.inventory is not None:
            what = f"two sources of hosts, got {self.stack} and {self.inventory}"
            raise ConfigError([f"--stack, --inventory: {what}. Give one of them."])

    def words(self, host: str) -> str:
        """What names one of these hosts on a command line."""
        source = f"--stack {self.stack}" if self.stack is not None else f"--inventory {self.inventory}"
        return f"{source} --host {host}"

    @contextmanager
    def hosts(self, known: "Inventory | None" = None) -> Iterator[tuple[Host, ...]]:
        """The hosts, in the inventory's order; each is connected to when it is first used. Connections end after.

        `known` is the inventory where it was read already.
        """
        reporter = Reporter()
        if self.stack is None and self.inventory is None:
            if self.host is not None:
                raise ConfigError(
                    [f"--host: nowhere to look it up, got {self.host}. Add --stack NAME or --inventory FILE."]
                )
            yield (Host(local_target(), LocalExecutor(), reporter),)
            return
        from build.cli.inventory import chosen, connected

        inventory = known or self.read(reporter, LocalExecutor())
        with connected(inventory, chosen(inventory, self.host), self.words, reporter) as hosts:
            yield hosts

    def read(self, reporter: Reporter, executor: Executor) -> "Inventory":
        """Read the inventory of the stack or of the file."""
        from build.cli.inventory import read_inventory

        return read_inventory(self.stack, self.inventory, reporter, executor)
