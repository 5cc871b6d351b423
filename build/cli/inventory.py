"""The hosts of an inventory: where it is read from, and how each of them is connected to."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from build.cloud.gcloud import Gcloud
from build.cloud.instance import Instance, identity_file, proxy
from build.cloud.pulumi_cli import Pulumi, PulumiError
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import Executor, LocalExecutor
from build.remote.host import Host
from build.remote.ssh.connection import IF_ABSENT, Route
from build.remote.ssh.connector import BOOT_PATIENCE_S, RESTART_PATIENCE_S, Connector
from build.remote.ssh.executor import SshExecutor
from build.remote.ssh.host_keys import KnownKeys, keys_in_file
from build.remote.target import REMOTE_PYTHON, USER, Target, expanded, project_directory
from deployment.errors import ConfigError, why
from deployment.refusals.cloud_errors import Kind
from deployment.stack.inventory import GoogleHost, Inventory, InventoryHost, SshHost, inventory_from, parse_inventory
from deployment.stack.name import StackName

PROXIES = ("ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy")
PROXIED = (
    f"{IF_ABSENT} SSH goes through no proxy of the environment: name one in ssh_proxy_command of the inventory, such "
    "as `nc -X connect -x PROXY:PORT %h %p`."
)
# Then the last inventory that was read is still the best guess; anything else that Pulumi says is about the stack.
UNREACHABLE = (Kind.UNREACHABLE, Kind.NOT_LOGGED_IN)


def read_inventory(stack: str | None, file: str | None, reporter: Reporter, executor: Executor) -> Inventory:
    """Read the inventory of a stack or of a file: one of them is given."""
    if file is not None:
        return inventory_file(Path(file))
    assert stack is not None, "one of them is given"
    pulumi = Pulumi(executor=executor, directory=project_directory(), stack=StackName(stack))
    return stack_inventory(pulumi, cache_of(stack), reporter)


def inventory_file(path: Path) -> Inventory:
    """Read an inventory that somebody wrote, or kept."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        step = "Write one (docs/operations.md), or `pulumi stack output inventory --json > FILE`"
        raise ConfigError([f"{path}: cannot read the inventory: {why(error)}. {step}."]) from None
    return parse_inventory(text, str(path))


def cache_of(stack: str) -> Path:
    """Where the inventory that was read last is kept."""
    return project_directory() / "out" / "inventory" / f"{StackName(stack).short}.json"


def stack_inventory(pulumi: Pulumi, cache: Path, reporter: Reporter) -> Inventory:
    """Read the stack's output and keep it; where Pulumi cannot be asked, take what was kept and say so."""
    try:
        output = pulumi.output("inventory")
    except DeployError as error:
        if isinstance(error, PulumiError) and error.error.kind not in UNREACHABLE:
            raise
        return _cached(cache, error, reporter)
    if output is None:
        what = f"{pulumi.stack}: no hosts yet, got a stack without the output `inventory`"
        raise DeployError(f"{what}. Run `pulumi up --stack {pulumi.stack}`.")
    inventory = inventory_from(output, f"{pulumi.stack} inventory")
    cache.parent.mkdir(parents=True, exist_ok=True)
    draft = cache.with_name(f".{cache.name}.new")
    draft.write_text(inventory.dump(), encoding="utf-8")
    draft.replace(cache)
    return inventory


def _cached(cache: Path, error: DeployError, reporter: Reporter) -> Inventory:
    if not cache.is_file():
        raise DeployError(*error.problems) from None
    inventory = inventory_file(cache)
    read = datetime.fromtimestamp(cache.stat().st_mtime).astimezone()
    reporter.say(f"{error}\nUsing {cache}, read {read:%Y-%m-%d %H:%M}: hosts may have changed since.", style="yellow")
    return inventory


def chosen(inventory: Inventory, host: str | None) -> Mapping[str, InventoryHost]:
    """The hosts that are meant: all, or the one of this name. Raises ConfigError."""
    found = {name: each for name, each in inventory.hosts.items() if host in (None, name, each.name)}
    if not found:
        raise ConfigError([f"--host: not in the inventory, got {host}. Use one of: {', '.join(inventory.hosts)}."])
    return found


@contextmanager
def connected(
    inventory: Inventory, hosts: Mapping[str, InventoryHost], words: Callable[[str], str], reporter: Reporter
) -> Iterator[tuple[Host, ...]]:
    """Hosts that are connected to when they are first used; connections end after. `words` name one to a task."""
    executors = {name: ssh_executor(inventory, host, reporter, words(name)) for name, host in hosts.items()}
    try:
        yield tuple(Host(remote_target(inventory, hosts[name]), each, reporter) for name, each in executors.items())
    finally:
        for executor in executors.values():
            executor.close()


def remote_target(inventory: Inventory, host: InventoryHost) -> Target:
    """A host of an inventory: everything below its data disk, run by systemd for the system user `axion`."""
    return Target(
        name=host.name,
        root=host.data_mount,
        runner="systemd",
        python=REMOTE_PYTHON,
        user=USER,
        boot_log=_boot_log(inventory, host),
        clients=host.gateway_clients,
        keys=host.gateway_keys,
        stack=inventory.stack,
        address=host.internal_ip if isinstance(host, GoogleHost) else host.ssh_address,
        models=host.models,
        hub_token_secret=inventory.google.secret_ids.hub_token if inventory.google else None,
    )


def _boot_log(inventory: Inventory, host: InventoryHost) -> str | None:
    """What to type to see what the startup script of an instance did, where that had a disk to mount."""
    if not isinstance(host, GoogleHost) or host.device_paths is None:
        return None
    at = f"--project={inventory.project} --zone={host.zone}"
    return f"gcloud compute instances get-serial-port-output {host.name} {at}"


def ssh_executor(inventory: Inventory, host: InventoryHost, reporter: Reporter, words: str) -> SshExecutor:
    """Commands on a host of an inventory, which `words` name. Nothing is asked or connected before the first one."""
    if isinstance(host, GoogleHost):
        google = Instance(
            gcloud=Gcloud(LocalExecutor(), inventory.project),
            host=host,
            key_directory=project_directory() / "out" / "inventory" / "host_keys",
            words=words,
        )
        connector = Connector(name=host.name, route=google.route, patience_s=BOOT_PATIENCE_S)
    else:
        connector = Connector(name=host.name, route=lambda: written_route(host), patience_s=RESTART_PATIENCE_S)
    return SshExecutor(lambda: connector.connect(reporter), say=partial(reporter.say, style="yellow"))


def written_route(host: SshHost) -> Route:
    """The way to a host whose address and keys somebody wrote down."""
    path = expanded(host.known_hosts)
    name = host.ssh_address if host.ssh_port == 22 else f"[{host.ssh_address}]:{host.ssh_port}"
    scan = f"`ssh-keyscan -p {host.ssh_port} {host.ssh_address}`, compared with `ssh-keygen -lf` on the host itself"
    step = f"If you know that this is the host's key, correct {path}: {scan}."
    is_in_environment = any(os.environ.get(name) for name in PROXIES)
    return Route(
        name=host.name,
        address=host.ssh_address,
        tunnel=proxy(host, host.ssh_address, host.ssh_user),
        is_proxy=host.ssh_proxy_command is not None,
        if_absent=PROXIED if is_in_environment and host.ssh_proxy_command is None else IF_ABSENT,
        port=host.ssh_port,
        user=host.ssh_user,
        known=KnownKeys(keys=keys_in_file(path, name), source=str(path), if_changed=step),
        identity_file=identity_file(host),
        has_other_keys=host.identity_file is None,
        if_refused="Put your public key into the authorized_keys of that user, or correct ssh_user and identity_file.",
    )
