"""The tasks of checkpoints: what of them models.yaml names, what the lock file knows, what is on a host."""

from collections.abc import Sequence
from pathlib import Path

from agent.protocol import PullSource
from build.checkpoints.pull import Means, choose_source, hub_models, pull_models
from build.checkpoints.reading import Reading, pinned, say_added, size_of
from build.checkpoints.stanzas import name_for, new_stanza, save
from build.cli.tasking import (
    one_after_another,
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


def models_add(
    hosts: Sequence[Host],
    what: str,
    models: str | None,
    name: str | None,
    revision: str | None,
    *,
    cores: int,
) -> None:
    file = models_path(models, hosts)
    reading, chosen = Reading(file, hosts[0]), name or name_for(what)
    reading.check_room_for(chosen)
    found = reading.described(what, revision)
    text = add_stanza(reading.text, chosen, new_stanza(found, cores=cores, taken=reading.aliases))
    reading.save(text, {chosen: found.locked})
    say_added(hosts[0], chosen, found, file)


def models_update(hosts: Sequence[Host], names: str, models: str | None, revision: str | None) -> None:
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


def models_remove(name: str, models: str | None) -> None:
    file = models_path(models, [this_computer()])
    text, lock = read_models_text(file), read_lock(lock_path(file))
    if read_document(text, file.name).data.get("default_model") == name:
        raise DeployError(f"models.{name}: the default model, got it as default_model. Name another one there first.")
    save(file, remove_stanza(text, name), lock.without([name]))
    print(f"{name}: gone from {file.name} and {lock_path(file).name}. `fab plan` says what that changes.")


def models_pull(
    hosts: Sequence[Host], models: str | None, source: str | None, engine: str | None, *, verify: bool
) -> None:
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
