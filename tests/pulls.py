"""A repository on a hub of our own, and downloads of it onto a directory that stands for a host."""

import sys
from pathlib import Path
from typing import Any

import pytest

from build.activation import Host
from build.errors import DeployError
from build.executor import LocalExecutor
from build.models.lockfile import LockedModel
from build.models.pull import pull_models
from build.progress import Reporter
from build.target import Target
from deployment.spec import Deployment
from tests.deployments import deployment, model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(251)) * 1195 + bytes(55)  # 300 000 bytes without a period that a block size divides
FILES = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "model.safetensors": WEIGHTS,
    "tokenizer/tokenizer.json": b"{}" * 2000,
    "pytorch_model.bin": b"x" * 5000,
    "original/params.json": b"{}",
    "consolidated.safetensors": b"y" * 5000,
    "empty.txt": b"",
    ".gitattributes": b"*",
}
WANTED = {"config.json", "model.safetensors", "tokenizer/tokenizer.json", "empty.txt"}
WANTED_BYTES = 39 + 300_000 + 4000


def served(hub_name: str = "org/tiny", revision: str = COMMIT) -> Deployment:
    return deployment({"alpha": model(weights={"hub": hub_name, "revision": revision})})


def pull(tmp_path: Path, wanted: Deployment | None = None, **options: Any) -> LockedModel:
    target = Target(name="main", root=str(tmp_path / "root"), runner="supervisor", python=sys.executable)
    host = Host(target, LocalExecutor(), Reporter())
    (tmp_path / "root").mkdir(exist_ok=True)
    found = pull_models(host, wanted or served(), tmp_path / "models.yaml", ["alpha"], **options)
    return found["alpha"]


def refusal(tmp_path: Path, wanted: Deployment | None = None, **options: Any) -> str:
    with pytest.raises(DeployError) as caught:
        pull(tmp_path, wanted, **options)
    assert not final(tmp_path).exists()
    (problem,) = caught.value.problems
    return problem


def final(tmp_path: Path) -> Path:
    return tmp_path / "root" / "models" / "alpha" / COMMIT


def contents(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found.pop(".axion-manifest.json")
    return found
