"""The tasks of checkpoints: what of them models.yaml names, what the lock file knows, what is on a host."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fabric import task

from agent.protocol import PullSource
from build.checkpoints.pull import Means, choose_source, hub_models, pull_models
from build.checkpoints.reading import Reading, pinned, say_added, size_of
from build.checkpoints.stanzas import CORES, name_for, new_stanza, save
from build.cli.arguments import Cores, Engine, Location, Name
from build.cli.tasking import (
    ENGINE_HELP,
    MODELS_HELP,
    HostTask,
    help_for,
    on_hosts,
    one_after_another,
    problems_are_messages,
    this_computer,
)
from build.deploy.models_file import models_files, models_path
from build.deploy.provide import provide_environment
from build.errors import DeployError
from build.remote.host import Host
from build.remote.lock import host_lock
from deployment.checkpoint.lock import lock_path, read_lock
from deployment.models.load import load_deployment, read_document, read_models_text
from deployment.models.stanza import add_stanza, remove_stanza
from deployment.quantities import shown_bytes

ADD_HELP = {
    "what": "a repository of the hub, such as Qwen/Qwen2.5-7B-Instruct-AWQ, or a directory as in `path`",
    "models": MODELS_HELP,
    "name": "the model's name for clients and units (default: derived from the repository's name)",
    "revision": "a branch, tag or commit; its present commit is pinned (default: main)",
    "cores": "how many cores its engine computes on (default: 4)",
}


@task(klass=HostTask, positional=["what"], help=help_for(**ADD_HELP))
@on_hosts
def models_add(
    hosts: Sequence[Host],
    what: Location,
    models: Location | None = None,
    name: Name | None = None,
    revision: Name | None = None,
    cores: Cores = CORES,
) -> None:
    """Add a model to the models file, and its checkpoint's facts to the lock file. No weights are read."""
    file = models_path(models, hosts)
    reading, chosen = Reading(file, hosts[0]), name or name_for(what)
    reading.check_room_for(chosen)
    found = reading.described(what, revision)
    text = add_stanza(reading.text, chosen, new_stanza(found, cores=cores, taken=reading.aliases))
    reading.save(text, {chosen: found.locked})
    say_added(hosts[0], chosen, found, file)


@task(
    klass=HostTask,
    positional=["names"],
    help=help_for(
        names="the models, separated by commas, or all",
        models=MODELS_HELP,
        revision="pin one model to the present commit of this branch or tag (default: the file's own commits)",
    ),
)
@on_hosts
def models_update(
    hosts: Sequence[Host], names: Name, models: Location | None = None, revision: Name | None = None
) -> None:
    """Read the checkpoints' facts into the lock file again; with --revision, pin another commit."""
    reading = Reading(models_path(models, hosts), hosts[0])
    chosen, _ = reading.chosen(names), reading.lock  # both can be wrong, and that is said before anything is read
    if revision is not None and len(chosen) != 1:
        raise DeployError(f"--revision: is one model's, got {len(chosen)} of them. Name the one that it is meant for.")
    text, found = reading.text, {}
    for name in chosen:
        found[name] = reading.again(name, revision)
        text = pinned(text, name, found[name].locked)
        hosts[0].reporter.say(f"{name}: {found[name].locked}, {size_of(found[name])}")
    reading.save(text, {name: each.locked for name, each in found.items()})


@task(positional=["name"], help={"name": "the model", "models": MODELS_HELP})
@problems_are_messages
def models_remove(_context: Any, name: Name, models: Location | None = None) -> None:
    """Remove a model from the models file and its lock file. The next deployment removes it from hosts."""
    file = models_path(models, [this_computer()])
    text, lock = read_models_text(file), read_lock(lock_path(file))
    if read_document(text, file.name).data.get("default_model") == name:
        raise DeployError(f"models.{name}: the default model, got it as default_model. Name another one there first.")
    save(file, remove_stanza(text, name), lock.without([name]))
    print(f"{name}: gone from {file.name} and {lock_path(file).name}. `fab plan` says what that changes.")


@task(
    klass=HostTask,
    help=help_for(
        models=MODELS_HELP,
        source="a directory on the host, or gs://BUCKET/PATH, that holds <hub>/<revision>/ (default: the hub)",
        verify="read every file of downloaded models and compare checksums",
        engine=ENGINE_HELP,
    ),
)
@on_hosts
def models_pull(
    hosts: Sequence[Host],
    models: Location | None = None,
    source: Location | None = None,
    verify: bool = False,
    engine: Engine | None = None,
) -> None:
    """Download and verify the models file's checkpoints at their pinned revisions; resumes where it stopped."""
    files, chosen = models_files(models, hosts), choose_source(source)
    one_after_another(
        hosts, lambda host: run_models_pull(host, files[host.target.name], chosen, engine, is_thorough=verify)
    )


def run_models_pull(
    host: Host, models_file: Path, source: PullSource, engine: str | None, *, is_thorough: bool
) -> None:
    """Pull under the lock: an engine may be about to read what is replaced."""
    deployment = load_deployment(models_file)
    names, python = hub_models(deployment), host.target.python
    if not names:
        host.reporter.say(f"Nothing to download: every model of {models_file.name} has a path.")
        return
    with host_lock(host, "fab models-pull"):
        if source.kind == "hub":
            python = str(provide_environment(host, deployment, engine=engine).python)
        means = Means(python=python, source=source, is_thorough=is_thorough)
        found = pull_models(host, deployment, models_file, names, means)
    for name, model in found.items():
        size = shown_bytes(sum(file.size for file in model.files.values()))
        host.reporter.say(f"{name}: {model.hub} at {str(model.commit)[:12]}, {len(model.files)} files, {size}")
    host.reporter.say(f"{len(found)} models are on {host.target.name} after {host.reporter.elapsed_s:.1f} s")
