"""The task that downloads checkpoints; a deployment downloads what is missing by itself."""

from collections.abc import Sequence
from pathlib import Path

from fabric import task

from build.activation import Host
from build.lock import host_lock
from build.models.pull import choose_source, hub_models, pull_models
from build.tasking import HostTask, help_for, models_path, on_hosts, one_after_another
from build.tasks import MODELS_HELP
from deployment.load import load_deployment
from deployment.quantities import shown_bytes


@task(
    klass=HostTask,
    help=help_for(
        models=MODELS_HELP,
        source="a directory of the host, or gs://BUCKET/PATH, that holds <hub>/<revision>/ (default: the hub)",
        verify="read every file of models that are there and compare checksums",
    ),
)
@on_hosts
def models_pull(
    hosts: Sequence[Host], models: str | None = None, source: str | None = None, verify: bool = False
) -> None:
    """Download the checkpoints of the models file at their pinned revisions, verified; goes on where it stopped."""
    file = models_path(models)
    one_after_another(hosts, lambda host: run_models_pull(host, file, source, is_thorough=verify))


def run_models_pull(host: Host, models_file: Path, place: str | None, *, is_thorough: bool) -> None:
    """Pull under the lock: an engine may be about to read what is replaced."""
    deployment, source = load_deployment(models_file), choose_source(place)
    names = hub_models(deployment)
    if not names:
        host.reporter.say(f"Nothing to download: every model of {models_file.name} has a path.")
        return
    with host_lock(host, "fab models-pull"):
        found = pull_models(host, deployment, models_file, names, source=source, is_thorough=is_thorough)
    for name, model in found.items():
        size = shown_bytes(sum(file.size for file in model.files.values()))
        host.reporter.say(f"{name}: {model.hub} at {model.commit[:12]}, {len(model.files)} files, {size}")
    host.reporter.say(f"{len(found)} models are on {host.target.name} after {host.reporter.elapsed_s:.1f} s")
