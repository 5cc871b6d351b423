"""Start a host that stopped by itself, was stopped, or was taken back by Google, and wait until it serves again."""

import time

from build.cli.hosts import Selection
from build.cli.tasking import one_after_another
from build.cloud.gcloud import Gcloud, GcloudError
from build.cloud.instance import STARTS, another_instance
from build.deploy.activate import wait_ready
from build.deploy.diff import Desired
from build.deploy.facts import Facts, UnmountedError
from build.deploy.state import read_state
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from deployment.errors import ConfigError
from deployment.refusals.cloud_errors import Kind
from deployment.stack.inventory import GoogleHost, Inventory, InventoryHost

# Google answers when the machine runs, after half a minute; from a suspension it copies the memory back first.
START_TIMEOUT_S = 600.0
# Its SSH server answers before all units of a boot have begun.
BOOT_S, LOOK_S = 120.0, 3.0


def start(stack: str | None, inventory: str | None, host: str | None, timeout_s: float) -> None:
    selection = Selection(stack=stack, inventory=inventory, host=host)
    if stack is None and inventory is None:
        raise ConfigError(["start: no host named. Add --stack NAME, and --host NAME for one of its hosts."])
    read = selection.read(Reporter(), LocalExecutor())
    known = {each.name: (each, selection.words(key)) for key, each in read.hosts.items()}
    with selection.hosts(read) as hosts:
        one_after_another(hosts, lambda each: wake(each, *known[each.target.name], read, timeout_s))


def wake(host: Host, written: InventoryHost, words: str, inventory: Inventory, timeout_s: float) -> None:
    """Bring one host from whatever state to serving. `words` name it on a command line. Raises DeployError."""
    name = host.target.name
    if isinstance(written, GoogleHost):
        started = _start(host, Gcloud(LocalExecutor(), inventory.project), written, words)
        host.reporter.say(f"{name}: {started}")
    facts = _booted(host)
    description = facts.release(facts.current)
    if facts.current is None or description is None:
        host.reporter.say(f"{name} runs; nothing is deployed. Run `fab build-and-deploy {words}`.", style="yellow")
        return
    if facts.runner is None:
        host.reporter.say(f"{name} runs; its models were stopped. Run `fab build-and-deploy {words}`.", style="yellow")
        return
    desired = Desired.described(facts.current, description)
    wait_ready(host, desired, desired.always, timeout_s=timeout_s)
    host.reporter.say(f"{name} serves again after {host.reporter.elapsed_s:.1f} s", style="bold green")


def _booted(host: Host) -> Facts:
    """Look at the host until its disk is mounted and what is deployed starts; the first look waits for its boot."""
    deadline = time.monotonic() + BOOT_S
    while True:
        try:
            facts = read_state(host)
            if facts.runner is not None or facts.current is None or time.monotonic() > deadline:
                return facts
        except UnmountedError:
            if time.monotonic() > deadline:
                raise
        time.sleep(LOOK_S)


def _start(host: Host, gcloud: Gcloud, written: GoogleHost, words: str) -> str:
    """Have Google start it, and say what that was. Nothing to do for one that runs."""
    at = f"--zone={written.zone}"
    described = gcloud.ask(f"ask for the state of {written.name}", "compute", "instances", "describe", written.name, at)
    if problem := another_instance(written, described):
        raise DeployError(problem)
    state = str(described.get("status", "UNKNOWN"))
    if state in ("RUNNING", "PROVISIONING", "STAGING", "REPAIRING"):
        return f"already {state.lower()}"
    if state not in STARTS:  # STOPPING and SUSPENDING end by themselves, minutes later where something drains
        raise DeployError(f"{written.name}: cannot be started yet: {state}. Run `fab start {words}` in a minute.")
    verb = STARTS[state]
    with host.reporter.phase(f"Start {written.name}"):
        try:
            gcloud.ask(
                f"start {written.name}", "compute", "instances", verb, written.name, at, timeout_s=START_TIMEOUT_S
            )
        except GcloudError as error:
            raise _refusal(error, written, words) from None
    return f"started, was {state}"


def _refusal(error: GcloudError, written: GoogleHost, words: str) -> DeployError:
    if error.error.kind is not Kind.STOCKOUT:
        return error
    return DeployError(
        f"{written.name}: {written.zone} has no {written.machine_type} free at present, got "
        f"{error.error.line.rstrip('.')}. Run `fab start {words}` again later, or move it with its data: "
        f"`fab move {words} --zone ANOTHER`."
    )
