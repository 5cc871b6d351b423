"""What a checkpoint is, asked of a hub or of a directory, without a tensor being read."""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent.completeness import TEMPLATES, examine
from agent.protocol import CheckpointDescription, DescribeOrder
from build.checkpoints.pull import HUB_SETTINGS, choose_source
from build.errors import DeployError
from build.remote.executor import ask
from build.remote.host import Host
from build.remote.proxies import refuse_useless
from build.remote.target import local_target
from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.lock import LockedFile, LockedModel
from deployment.checkpoint.reading import read_checkpoint
from deployment.checkpoint.tensors import Tensor
from deployment.errors import ConfigError

BRANCH = "main"
# What transformers and mistral-common read; vocab.json is of byte-pair ones, beside merges.txt.
TOKENIZERS = frozenset({"tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "spiece.model"})
WHOLE = "Take a whole one."


@dataclass(slots=True)
class Bytes:
    """How many were read."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint as it goes into the lock file, and what it took to find out."""

    locked: LockedModel
    read_bytes: int = field(compare=False)


def from_hub(repository: str, revision: str = BRANCH) -> Found:
    """Describe a repository at a branch, tag or commit. Raises ConfigError with every reason not to serve it.

    Of weights only the headers are read, by ranges.
    """
    refuse_useless(local_target())
    os.environ.update(HUB_SETTINGS)
    # Half a second of imports that no other task should pay, and which read those settings.
    from agent.files import ListedFile, PullError  # noqa: PLC0415
    from agent.hub import Hub  # noqa: PLC0415

    def tell(said: str) -> None:
        print(f"  {said}", file=sys.stderr)

    hub, read = Hub(choose_source().place, os.environ.get("HF_TOKEN") or None, tell=tell), Bytes()
    try:
        commit, files = hub.listing(repository, revision)
        listed: Mapping[str, ListedFile] = {file.path: file for file in files}

        def piece(path: str, start: int, count: int) -> bytes:
            content = hub.read(repository, commit, listed[path], start, count)
            read.count += len(content)
            return content

        examined = examine({path: file.size for path, file in listed.items()}, piece, WHOLE, also=TEMPLATES)
    except PullError as error:
        raise ConfigError(error.problems) from None
    checkpoint = checkpoint_of(examined.description, repository)
    chosen = {path: listed[path] for path in examined.needed}
    locked_files = {
        path: LockedFile(size=file.size, sha256=file.sha256, git_sha1=file.git_sha1) for path, file in chosen.items()
    }
    return Found(LockedModel(hub=repository, commit=commit, files=locked_files, checkpoint=checkpoint), read.count)


def from_directory(host: Host, directory: str, path: str) -> Found:
    """Describe a directory of a host; `path` is how the models file calls it. Raises ConfigError."""
    order = DescribeOrder(directory=directory, remedy=WHOLE).to_json()
    command = host.target.agent.command("describe", order, what=f"look at {path}", timeout_s=300)
    try:
        said = ask(host.executor, command, CheckpointDescription)
    except DeployError as error:
        raise ConfigError(error.problems) from None
    return Found(LockedModel(path=path, checkpoint=checkpoint_of(said, path)), 0)


def checkpoint_of(said: CheckpointDescription, where: str) -> Checkpoint:
    """Judge a description. Raises ConfigError, each sentence beginning with `where`."""
    problems: Iterable[str] = said.problems
    if not problems and not TOKENIZERS & set(said.files):
        problems = [f"no tokenizer: none of {', '.join(sorted(TOKENIZERS))}. Take a repository that has one."]
    if not problems:
        tensors = {name: Tensor(each.dtype, each.shape) for name, each in said.tensors.items()}
        try:
            return read_checkpoint(said.texts, tensors, said.digest)
        except ConfigError as error:
            problems = error.problems
    raise ConfigError([f"{where}: {problem}" for problem in problems])
