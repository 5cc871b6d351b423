"""Download checkpoints onto a host, as a job that outlives this task, and keep what they were in the lock file."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agent.message import MessageError
from agent.protocol import (
    CheckpointManifest,
    FromCaller,
    FromSecretManager,
    PullAnswer,
    PullEvent,
    PullOrder,
    PullSource,
    WantedFile,
    WantedModel,
)
from build.errors import DeployError
from build.progress import Phase
from build.remote.agent import Agent
from build.remote.executor import OnLine
from build.remote.host import Host
from build.remote.jobs import Job, StepFailedError, forget_job, run_job
from build.remote.proxies import refuse_useless
from build.remote.target import Target
from deployment.checkpoint.lock import LockedFile, LockedModel, ModelLock, lock_path, read_lock, write_lock
from deployment.models.spec import Deployment

HUB = "https://huggingface.co"
JOB = "models"
# huggingface_hub as this project means it: bytes over HTTP alone, no word to anybody else, no token that lies about.
HUB_SETTINGS = {
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_OFFLINE": "0",
    "TRANSFORMERS_OFFLINE": "0",
    # A name server that does not answer is waited for outside of any timeout of Python (resolv.conf(5)).
    "RES_OPTIONS": "timeout:3 attempts:2",
}
# 60 GB at 3 MB/s; what is slower goes on where it stopped.
TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How checkpoints are brought."""

    python: str
    """An engine environment's where they come from a hub: it has huggingface_hub."""
    source: PullSource
    is_thorough: bool = False
    """Whether files that are there are read again and compared."""


def choose_source(place: str | None = None) -> PullSource:
    """Take what was asked for (a directory of the host, or gs://...), else the hub, or the mirror of HF_ENDPOINT."""
    if place is None:
        endpoint = os.environ.get("HF_ENDPOINT") or HUB
        if not endpoint.startswith(("https://", "http://")):
            raise DeployError(f"HF_ENDPOINT: not an address, got {endpoint}. Give one such as {HUB}, or unset it.")
        return PullSource(kind="hub", place=endpoint)
    if place.startswith("gs://"):
        return PullSource(kind="bucket", place=place)
    if place.startswith("/"):
        return PullSource(kind="directory", place=place)
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
    means: Means,
) -> Mapping[str, LockedModel]:
    """Make sure that checkpoints are on the host, whole and as locked. Raises DeployError with every problem."""
    if means.source.kind == "hub":
        refuse_useless(host.target)
    path = lock_path(models_file)
    lock = read_lock(path)
    wanted = wanted_models(deployment, names, lock)
    job = pull_job(host.target, wanted, means)
    try:
        result = run_job(host, job, progress_of_pull)[-1]
    except StepFailedError as error:
        raise DeployError(*(_told(error.result.stdout).problems or error.problems)) from None
    found = {name: locked(lock.models[name], each) for name, each in _told(result.stdout).models.items()}
    write_lock(path, lock.with_models(found))
    forget_job(host, JOB)
    return found


def locked(before: LockedModel, found: CheckpointManifest) -> LockedModel:
    """Write down of what files a checkpoint consists; of one whose files nobody knows nothing is said."""
    git = {path: file.git_sha1 for path, file in before.files.items()}
    files = {
        path: LockedFile(size=file.size, sha256=file.sha256, git_sha1=git.get(path))
        for path, file in found.files.items()
    }
    return before.model_copy(update={"files": files or before.files})


def wanted_models(deployment: Deployment, names: Iterable[str], lock: ModelLock) -> dict[str, WantedModel]:
    """Describe what is to be downloaded, for the program on the host."""
    wanted = {}
    for name in names:
        weights = deployment.models[name].weights
        assert weights.hub is not None and weights.revision is not None, "the rules ask for both"
        files = {
            path: WantedFile(file.size, file.sha256, file.git_sha1) for path, file in lock.models[name].files.items()
        }
        wanted[name] = WantedModel(weights.hub, weights.revision, files)
    return wanted


def pull_job(target: Target, wanted: Mapping[str, WantedModel], means: Means) -> Job:
    """Describe the download. The token is a credential: never an argument, never in a file on a disk."""
    source = means.source
    order = PullOrder(target.root, source, wanted, means.is_thorough)
    what = f"download {', '.join(wanted)}"
    step = replace(
        Agent(means.python, target.root).command("pull", order.to_json(), what=what, timeout_s=TIMEOUT_S),
        env=HUB_SETTINGS if source.kind == "hub" else {},
    )
    credentials: dict[str, FromSecretManager | FromCaller] = {}
    if target.hub_token_secret is not None:
        credentials["hub_token"] = FromSecretManager(secret=target.hub_token_secret)
    elif token := os.environ.get("HF_TOKEN"):
        credentials["hub_token"] = FromCaller(value=token)
    needs_token = source.kind == "hub"
    return Job(
        name=JOB,
        what="download models",
        steps=(step,),
        timeout_s=TIMEOUT_S,
        credentials=credentials if needs_token else {},
    )


def progress_of_pull(phase: Phase) -> OnLine:
    """Show each model's bytes."""

    def on_line(line: str) -> None:
        try:
            event = PullEvent.from_json(line)
        except MessageError:
            return
        if event.said is not None:
            phase.part(event.model, event.said)
        else:
            phase.part_transfer(event.model, event.done_bytes, event.total_bytes)

    return on_line


def _told(stdout: str) -> PullAnswer:
    """The last line of the program; empty when it did not come that far."""
    try:
        return PullAnswer.from_last_line(stdout)
    except MessageError:
        return PullAnswer({}, ())
