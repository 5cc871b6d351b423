"""Download checkpoints onto a host, as work that outlives this task, and keep what they were in the lock file."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from build.activation import Host
from build.command import Command
from build.errors import DeployError
from build.executor import OnLine
from build.models.lockfile import LockedModel, ModelLock, lock_path, read_model_lock, write_model_lock
from build.onhost import bundle
from build.progress import Phase
from build.target import Target
from build.work import FromCaller, FromSecretManager, StepFailedError, Work, forget_work, run_work
from deployment.spec import Deployment

HUB = "https://huggingface.co"
WORK = "models"
# 60 GB at 3 MB/s; what is slower goes on where it stopped.
TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where checkpoints come from."""

    kind: Literal["hub", "directory", "bucket"]
    place: str

    def as_data(self) -> dict[str, str]:
        return {"kind": self.kind, "endpoint" if self.kind == "hub" else "place": self.place}


def choose_source(place: str | None = None) -> Source:
    """Take what was asked for (a directory of the host, or gs://...), else the hub, or the mirror of HF_ENDPOINT."""
    if place is None:
        endpoint = os.environ.get("HF_ENDPOINT") or HUB
        if not endpoint.startswith(("https://", "http://")):
            raise DeployError(f"HF_ENDPOINT: not an address, got {endpoint}. Give one such as {HUB}, or unset it.")
        return Source(kind="hub", place=endpoint)
    if place.startswith("gs://"):
        return Source(kind="bucket", place=place)
    if place.startswith("/"):
        return Source(kind="directory", place=place)
    raise DeployError(
        f"--source: neither a directory nor a bucket, got {place}. Give an absolute path on the host, or gs://BUCKET/PATH."
    )


def hub_models(deployment: Deployment) -> tuple[str, ...]:
    """Name the models whose checkpoints this toolkit downloads; the others lie where `path` says."""
    return tuple(name for name, model in deployment.models.items() if model.weights.hub is not None)


def pull_models(
    host: Host,
    deployment: Deployment,
    models_file: Path,
    names: Iterable[str],
    *,
    source: Source | None = None,
    is_thorough: bool = False,
) -> Mapping[str, LockedModel]:
    """Make sure that checkpoints are on the host, whole and as locked. Raises DeployError with every problem."""
    path = lock_path(models_file)
    lock = read_model_lock(path)
    wanted = wanted_models(deployment, names, lock)
    work = pull_work(host.target, wanted, source or choose_source(), is_thorough=is_thorough)
    try:
        result = run_work(host, work, progress_of_pull)[-1]
    except StepFailedError as error:
        problems = _told(error.result.stdout).get("problems")
        raise DeployError(*(problems or error.problems)) from None
    found = {name: LockedModel.model_validate(each) for name, each in _told(result.stdout)["models"].items()}
    write_model_lock(path, lock.with_models(found))
    forget_work(host, WORK)
    return found


def wanted_models(deployment: Deployment, names: Iterable[str], lock: ModelLock) -> dict[str, Any]:
    """Describe what is to be downloaded, for the script on the host."""
    wanted = {}
    for name in names:
        weights = deployment.models[name].weights
        assert weights.hub is not None and weights.revision is not None, "the rules ask for both"
        files = lock.files_of(name, weights.hub, weights.revision)
        wanted[name] = {"hub": weights.hub, "revision": weights.revision, "files": files}
    return wanted


def pull_work(target: Target, wanted: Mapping[str, Any], source: Source, *, is_thorough: bool) -> Work:
    """Describe the download. The token is a credential: never an argument, never in a file on a disk."""
    order = {"root": target.root, "source": source.as_data(), "models": wanted, "is_thorough": is_thorough}
    step = Command(
        argv=(target.python, "-I", "-", json.dumps(order)),
        what=f"download {', '.join(wanted)}",
        stdin=bundle("pull.py", "hub.py", "weights.py"),
        timeout_s=TIMEOUT_S,
    )
    credentials: dict[str, FromSecretManager | FromCaller] = {}
    if target.cloud is not None and target.cloud.hub_token_secret is not None:
        credentials["hub_token"] = FromSecretManager(secret=target.cloud.hub_token_secret)
    elif token := os.environ.get("HF_TOKEN"):
        credentials["hub_token"] = FromCaller(value=token)
    needs_token = source.kind == "hub"
    return Work(
        name=WORK,
        what="download models",
        steps=(step,),
        timeout_s=TIMEOUT_S,
        credentials=credentials if needs_token else {},
    )


def progress_of_pull(phase: Phase) -> OnLine:
    """Show each model's bytes."""

    def on_line(line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict) and "of" in event:
            phase.part_transfer(event["model"], event["bytes"], event["of"])

    return on_line


def _told(stdout: str) -> dict[str, Any]:
    """The last line of the script; empty when it did not come that far."""
    try:
        told = json.loads(stdout.rstrip().rpartition("\n")[2])
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
