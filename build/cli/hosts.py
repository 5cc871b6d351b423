"""Which hosts a task is for: those of a stack, of a written inventory, or this computer, which needs no SSH."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from build.progress import Reporter
from build.remote.executor import Executor, LocalExecutor
from build.remote.host import Host
from build.remote.target import local_target, project_directory, remote_target
from deployment.errors import ConfigError
from deployment.stack.inventory import Inventory, InventoryHost
from deployment.stack.name import StackName


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
    def hosts(self, known: Inventory | None = None) -> Iterator[tuple[Host, ...]]:
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
        from build.cli.inventory import ssh_executor

        inventory = known or self.read(reporter, LocalExecutor())
        executors = {
            name: ssh_executor(inventory, host, reporter, self.words(name))
            for name, host in self._chosen(inventory).items()
        }
        try:
            yield tuple(
                Host(remote_target(inventory, inventory.hosts[name]), executor, reporter)
                for name, executor in executors.items()
            )
        finally:
            for executor in executors.values():
                executor.close()

    def read(self, reporter: Reporter, executor: Executor) -> Inventory:
        """Read the inventory of the stack or of the file."""
        from build.cli.inventory import cache_of, inventory_file, stack_inventory
        from build.cloud.pulumi_cli import Pulumi

        if self.inventory is not None:
            return inventory_file(Path(self.inventory))
        assert self.stack is not None, "one of them is given"
        pulumi = Pulumi(executor=executor, directory=project_directory(), stack=StackName(self.stack))
        return stack_inventory(pulumi, cache_of(self.stack), reporter)

    def _chosen(self, inventory: Inventory) -> dict[str, InventoryHost]:
        if self.host is None:
            return dict(inventory.hosts)
        found = {name: each for name, each in inventory.hosts.items() if self.host in (name, each.name)}
        if not found:
            raise ConfigError(
                [f"--host: not in the inventory, got {self.host}. Use one of: {', '.join(inventory.hosts)}."]
            )
        return found
