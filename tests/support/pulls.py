"""A repository on a hub of our own, and downloads of it onto a directory that stands for a host."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.protocol import PullSource
from build.checkpoints.pull import Means, choose_source, pull_models
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target
from deployment.checkpoint.lock import LockedModel, ModelLock, lock_path, read_lock, write_lock
from deployment.models.spec import Deployment
from tests.support.checkpoints import config, names, safetensors
from tests.support.deployments import deployment, model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = config()
WEIGHTS = safetensors(names(), size=300_000)
FILES = {
    "config.json": CONFIG,
    "model.safetensors": WEIGHTS,
    "tokenizer/tokenizer.json": b"{}" * 2000,
    "pytorch_model.bin": b"x" * 5000,
    "original/params.json": b"{}",
    "consolidated.safetensors": b"y" * 5000,
    "speech-lora/adapter_model.safetensors": b"z" * 5000,
    "empty.txt": b"",
    ".gitattributes": b"*",
}
WANTED = {"config.json", "model.safetensors", "tokenizer/tokenizer.json", "empty.txt"}
WANTED_BYTES = len(CONFIG) + 300_000 + 4000
LARGE_WANTED_BYTES = 300_000 + 4000


def served(hub_name: str = "org/tiny", revision: str = COMMIT, *names: str) -> Deployment:
    weights = {"hub": hub_name, "revision": revision}
    return deployment({name: model(weights=weights) for name in names or ("alpha",)})


def pull(
    tmp_path: Path, wanted: Deployment | None = None, *, source: PullSource | None = None, is_thorough: bool = False
) -> LockedModel:
    target = Target(name="main", root=str(tmp_path / "root"), runner="supervisor", python=sys.executable)
    host = Host(target, LocalExecutor(), Reporter())
    (tmp_path / "root").mkdir(exist_ok=True)
    chosen = wanted or served()
    # This interpreter stands for an engine environment's: both have the same huggingface_hub.
    means = Means(python=sys.executable, source=source or choose_source(), is_thorough=is_thorough)
    file = tmp_path / "models.yaml"
    lock_facts(file, chosen)
    (found, *_) = pull_models(host, chosen, file, list(chosen.models), means).values()
    return found


def lock_facts(file: Path, chosen: Deployment) -> None:
    """Have what a deployment is loaded with in the lock file: facts, and of another commit no files yet."""
    lock = read_lock(lock_path(file)) if lock_path(file).exists() else ModelLock()
    wanted = {
        name: LockedModel(hub=each.weights.hub, commit=each.weights.revision, checkpoint=each.checkpoint)
        for name, each in chosen.models.items()
    }
    new = {
        name: each
        for name, each in wanted.items()
        if name not in lock.models or lock.models[name].source != each.source
    }
    write_lock(lock_path(file), lock.with_models(new))


def locked_files(tmp_path: Path) -> Mapping[str, Any]:
    """What the lock file says of the first model's files."""
    return read_lock(lock_path(tmp_path / "models.yaml")).models["alpha"].files


def refusal(tmp_path: Path, wanted: Deployment | None = None, **options: Any) -> str:
    with pytest.raises(DeployError) as caught:
        pull(tmp_path, wanted, **options)
    assert not final(tmp_path).exists()
    (problem,) = caught.value.problems
    return problem


def final(tmp_path: Path) -> Path:
    return tmp_path / "root" / "models" / "alpha" / COMMIT


def part(tmp_path: Path, content: bytes) -> Path:
    """Where a content is that has not come as a whole."""
    return tmp_path / "root" / "models" / ".content" / f"{hashlib.sha256(content).hexdigest()}.part"


def contents(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found.pop(".axion-manifest.json")
    return found
