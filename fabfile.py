"""The tasks that people type, with their options: `fab --list`.

What a task does is imported when it runs: listing them pays for nothing but this file, and none for another's.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fabric.main import program
from invoke.collection import Collection

from build.cli.arguments import (
    HOST_HELP,
    Cores,
    Engine,
    Lines,
    Location,
    Name,
    Positive,
    Stack,
    Timeout,
    Tokens,
    host_task,
    task,
)
from build.cli.bench_tasks import bench, bench_ablate, bench_compare, bench_export
from build.cli.command_line import explain_mistakes
from deployment.quantities import READY_TIMEOUT_S

if TYPE_CHECKING:
    from build.remote.host import Host

    Hosts = Sequence[Host]

# Tasks like those below, for which this file had no room.
__all__ = ["bench", "bench_ablate", "bench_compare", "bench_export"]

explain_mistakes(program)

JSON = {"json": "print JSON"}
STACK = {"stack": "name of the stack, alone or as ORGANISATION/PROJECT/NAME; reads Pulumi.<name>.yaml"}
ENGINE = {
    "engine": "compiled (on the host) or wheel (prebuilt) (default: host.engine, else compiled on Arm, wheel on x86-64)"
}
MODELS = {"models": "models file (default: AXION_MODELS, else the host's own, else models.yaml)"}


@host_task(**MODELS, **ENGINE, **JSON)
def plan(hosts: "Hosts", models: Location | None = None, engine: Engine | None = None, json: bool = False) -> None:
    """Show what a deployment would change, and touch nothing."""
    from build.cli import plan as task

    task.plan(hosts, models, engine, json=json)


BUILD_HELP = {
    "timeout_s": "seconds for each model to answer",
    "mirror": "directory on the host, or address, with wheels/, sdists/ and git/ (default: AXION_MIRROR)",
    "wheels": "directory on the host, or gs://, from and to which compiled wheels are copied (default: AXION_WHEELS)",
}


@host_task(**MODELS, **ENGINE, **BUILD_HELP)
def build_and_deploy(
    hosts: "Hosts",
    models: Location | None = None,
    timeout_s: Timeout = READY_TIMEOUT_S,
    engine: Engine | None = None,
    mirror: Location | None = None,
    wheels: Location | None = None,
) -> None:
    """Deploy the models file: build, render, switch, restart what changed, wait until models answer."""
    from build.cli import deploy as task

    task.build_and_deploy(hosts, models, engine, timeout_s=timeout_s, mirror=mirror, wheels=wheels)


@host_task(**JSON)
def status(hosts: "Hosts", json: bool = False) -> None:
    """Show every model: its state and process, whether it runs the current release, and its requests."""
    from build.cli import status as task

    task.status(hosts, json=json)


@host_task(**JSON)
def releases(hosts: "Hosts", json: bool = False) -> None:
    """List the releases on the host, oldest first."""
    from build.cli import status as task

    task.releases(hosts, json=json)


LOGS_HELP = {
    "name": "a model, gateway, or the runner: supervisord or systemd",
    "lines": "how many lines",
    "follow": "continue until interrupted",
}


@host_task("name", **LOGS_HELP, **JSON)
def logs(hosts: "Hosts", name: Name, lines: Lines = 100, follow: bool = False, json: bool = False) -> None:
    """Print the log of a model, of the gateway, or of the runner (supervisord or systemd)."""
    from build.cli import status as task

    task.logs(hosts, name, lines, follow=follow, json=json)


@host_task("name", name="a model, or gateway")
def restart(hosts: "Hosts", name: Name) -> None:
    """Restart one model (or the gateway) and wait until it answers; the others keep serving."""
    from build.cli import restart as task

    task.restart(hosts, name)


@host_task(release="its name (default: the previous release)")
def rollback(hosts: "Hosts", release: Name | None = None) -> None:
    """Roll back to the previous release, or to the one named, and wait until its models answer."""
    from build.cli import restart as task

    task.rollback(hosts, release)


@host_task()
def stop(hosts: "Hosts") -> None:
    """Stop every engine, the gateway and the process runner, and check that no process is left."""
    from build.cli import stop as task

    task.stop(hosts)


@host_task(**JSON)
def verify(hosts: "Hosts", json: bool = False) -> None:
    """Prove that files, environment and processes are as deployed, and that every model answers."""
    from build.cli import verify as task

    task.verify(hosts, json=json)


@task(**JSON, **{**HOST_HELP, "stack": "check this stack's cloud, `pulumi up` and hosts"})
def doctor(
    stack: Stack | None = None,
    inventory: Location | None = None,
    host: Name | None = None,
    json: bool = False,
) -> None:
    """Check for everything that would stop a deployment, and say what to do about it."""
    from build.cli import doctor as task

    task.doctor(stack, inventory, host, json=json)


@host_task(**MODELS, out="directory for the files (default: out/monitoring)")
def monitoring(hosts: "Hosts", models: Location | None = None, out: Location | None = None) -> None:
    """Write a Prometheus configuration, alerts and a Grafana dashboard for these hosts."""
    from build.cli import monitoring as task

    task.monitoring(hosts, models, out)


@host_task(yes="end the holder's task; without it, only show it")
def unlock(hosts: "Hosts", yes: bool = False) -> None:
    """Show who holds a host's lock; with --yes end that task. Models keep serving."""
    from build.cli import lock

    lock.unlock(hosts, yes=yes)


@host_task(lines="how many lines", **JSON)
def history(hosts: "Hosts", lines: Lines = 30, json: bool = False) -> None:
    """List the changes to a host: what, by whom, when, and how it ended; oldest first."""
    from build.cli import lock

    lock.history(hosts, lines, json=json)


@host_task(**JSON)
def usage(hosts: "Hosts", json: bool = False) -> None:
    """Show what each key used of each model, in requests and tokens, over the last 90 days."""
    from build.cli import usage as keys_usage

    keys_usage.usage(hosts, json=json)


@host_task(yes="do it without asking", keep_models="keep the downloaded checkpoints")
def uninstall(hosts: "Hosts", yes: bool = False, keep_models: bool = False) -> None:
    """Remove everything of axion's from a host; lists it first, and asks."""
    from build.cli import uninstall

    uninstall.uninstall(hosts, yes=yes, keep_models=keep_models)


ADD_HELP = {
    "what": "a repository of the hub, such as Qwen/Qwen2.5-7B-Instruct-AWQ, or a directory as in `path`",
    "name": "the model's name for clients and units (default: derived from the repository's name)",
    "revision": "a branch, tag or commit; its present commit is pinned (default: main)",
    "cores": "how many cores its engine computes on (default: 4)",
}


@host_task("what", **MODELS, **ADD_HELP)
def models_add(
    hosts: "Hosts",
    what: Location,
    models: Location | None = None,
    name: Name | None = None,
    revision: Name | None = None,
    cores: Cores = 4,
) -> None:
    """Add a model to the models file, and its checkpoint's facts to the lock file. No weights are read."""
    from build.cli.models import models_add

    models_add(hosts, what, models, name, revision, cores=cores)


UPDATE_HELP = {
    "names": "the models, separated by commas, or all",
    "revision": "pin one model to the present commit of this branch or tag (default: the file's own commits)",
}


@host_task("names", **MODELS, **UPDATE_HELP)
def models_update(hosts: "Hosts", names: Name, models: Location | None = None, revision: Name | None = None) -> None:
    """Read the checkpoints' facts into the lock file again; with --revision, pin another commit."""
    from build.cli.models import models_update

    models_update(hosts, names, models, revision)


@task("name", name="the model", **MODELS)
def models_remove(name: Name, models: Location | None = None) -> None:
    """Remove a model from the models file and its lock file. The next deployment removes it from hosts."""
    from build.cli.models import models_remove

    models_remove(name, models)


PULL_HELP = {
    "source": "a directory on the host, or gs://BUCKET/PATH, that holds <hub>/<revision>/ (default: the hub)",
    "verify": "read every file of downloaded models and compare checksums",
}


@host_task(**MODELS, **ENGINE, **PULL_HELP)
def models_pull(
    hosts: "Hosts",
    models: Location | None = None,
    source: Location | None = None,
    verify: bool = False,
    engine: Engine | None = None,
) -> None:
    """Download and verify the models file's checkpoints at their pinned revisions; resumes where it stopped."""
    from build.cli.models import models_pull

    models_pull(hosts, models, source, engine, verify=verify)


FILE = {"models": "models file (default: AXION_MODELS, else models.yaml)"}
LOAD = {
    "load": "a YAML file with the load, as in docs/capacity.md (default: equally many requests of each model)",
    "requests_per_min": "of all models together",
    "prompt_tokens": "tokens of a prompt (default: 512)",
    "output_tokens": "tokens of an answer, on average (default: 128)",
    "ttft_s": "seconds in which 95 % of answers must begin",
    "tokens_per_s": "tokens a second that each answer must have",
}
CAPACITY = {
    "machine": "a machine type (default: the stack's, else c4a-standard-32)",
    "stack": "machine and prices of this stack",
    "measured": "a report.json of `fab bench`, or points in JSON: answer for the host that it measured",
}


@task(**FILE, **LOAD, **CAPACITY, **JSON)
def capacity(
    load: Location | None = None,
    models: Location | None = None,
    machine: Name | None = None,
    stack: Stack | None = None,
    requests_per_min: Positive | None = None,
    prompt_tokens: Tokens | None = None,
    output_tokens: Tokens | None = None,
    ttft_s: Positive | None = None,
    tokens_per_s: Positive | None = None,
    measured: Location | None = None,
    json: bool = False,
) -> None:
    """Model which load the models can serve, on which C4A machines, and at what price."""
    from build.cli import capacity as task
    from build.cli.asked_load import Asked

    asked = Asked.of(load, requests_per_min, prompt_tokens, output_tokens, ttft_s, tokens_per_s)
    if measured is None:
        task.capacity(models, asked, machine, stack, json=json)
    else:
        task.capacity_measured(models, asked, measured, beside=machine or stack, json=json)


@task(**FILE, **LOAD, machine="a machine type, such as c4a-standard-32", write="into the models file")
def tune(
    machine: Name,
    models: Location | None = None,
    load: Location | None = None,
    requests_per_min: Positive | None = None,
    prompt_tokens: Tokens | None = None,
    output_tokens: Tokens | None = None,
    ttft_s: Positive | None = None,
    tokens_per_s: Positive | None = None,
    write: bool = False,
) -> None:
    """Propose cores, sequences, step, KV cache and speculation of each model for a machine: modelled."""
    from build.cli.asked_load import Asked
    from build.cli.tune import tune

    asked = Asked.of(load, requests_per_min, prompt_tokens, output_tokens, ttft_s, tokens_per_s)
    tune(models, asked, machine, write=write)


@task(stack=f"{STACK['stack']} (default: every stack that has a file)", **JSON)
def cost(stack: Stack | None = None, json: bool = False) -> None:
    """Show what a stack costs per hour and month, running and stopped, by its file and the catalog's prices."""
    from build.cli import cost as task

    task.cost(stack, json=json)


CENSUS_HELP = {
    "expect_empty": "exit with 1 if anything is left",
    "remove_snapshots": "delete the snapshots of these disks: names separated by commas",
}


@task(**STACK, **CENSUS_HELP, **JSON)
def census(stack: Stack, expect_empty: bool = False, remove_snapshots: Name | None = None, json: bool = False) -> None:
    """List everything that a stack has in the cloud, with its monthly cost and how to remove it."""
    from build.cli import census as task

    task.census(stack, remove_snapshots, expect_empty=expect_empty, json=json)


@task(**STACK, **JSON)
def idle_policy(stack: Stack, json: bool = False) -> None:
    """Show when each host stops itself: after how many idle minutes, and at the latest."""
    from build.cli import census as task

    task.idle_policy(stack, json=json)


RECOVER_HELP = {
    "yes": "do it; without it, only say what would be done",
    "foreign_host": "name of the computer whose lock to release, after its process has ended",
}


@task(**STACK, **RECOVER_HELP)
def recover(stack: Stack, yes: bool = False, foreign_host: Name | None = None) -> None:
    """Repair what a killed or timed-out `pulumi up` left: its lock, and creates that may have happened."""
    from build.cli import recover as task

    task.recover(stack, foreign_host, yes=yes)


@task(log="a file with what `pulumi` printed (default: standard input)")
def explain(log: Location | None = None) -> None:
    """Explain each failure of `pulumi up` and what to do, from its output (`pulumi up 2>&1 | tee up.log`)."""
    from build.cli import recover as task

    task.explain(log)


@task(project="any project in which the Compute Engine and Cloud Billing APIs are enabled")
def catalog_refresh(project: Name) -> None:
    """Update the catalog's regions, machine types and prices from Google, and say what changed."""
    from build.cli import catalog

    catalog.catalog_refresh(project)


@task(**STACK, yes="do it; without it, only preview")
def up(stack: Stack, yes: bool = False) -> None:
    """Run `pulumi up`; try a host's other zones if one has no machine free, and explain failures."""
    from build.cli import up as task

    task.up(stack, yes=yes)


@task(**STACK, host="which host", zone="to which zone", yes="do it; without it, only show it")
def move(stack: Stack, zone: Name, host: Name = "main", yes: bool = False) -> None:
    """Move a host's data disk to another zone: stop, snapshot, copy, compare. Nothing is deleted."""
    from build.cli import move as task

    task.move(stack, zone, host, yes=yes)


@task(timeout_s="seconds for the models to answer", **HOST_HELP)
def start(
    stack: Stack | None = None,
    inventory: Location | None = None,
    host: Name | None = None,
    timeout_s: Timeout = READY_TIMEOUT_S,
) -> None:
    """Start stopped hosts, and wait until their models answer."""
    from build.cli import waking

    waking.start(stack, inventory, host, timeout_s)


# All of the above and those imported; what follows has a prefix of its own.
namespace = Collection.from_module(sys.modules[__name__])


@task()
def run() -> None:
    """Build the engine, make the models, deploy, and send a question and two pictures through the gateway."""
    from build.cli import demo

    demo.run()


@task()
def prepare() -> None:
    """Build the engine environment and make the models; start nothing."""
    from build.cli import demo

    demo.prepare()


demo = Collection("demo", prepare)
demo.add_task(run, default=True)
namespace.add_collection(demo)
