"""Add, update and remove models: models.yaml and its lock file change together, or neither does."""

import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from agent.durable import replace_file
from build.checkpoints.described import Found
from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.kv_cache import sequence_bytes
from deployment.checkpoint.lock import ModelLock, lock_path, write_lock
from deployment.errors import ConfigError, why
from deployment.models.load import parse_deployment
from deployment.models.step import step_tokens
from deployment.quantities import GIB, MIB

NAME_LENGTH = 31
CONTEXT, SEQUENCES = 8192, 4
"""What a new model is given where nobody says more: a person's to change."""


def name_for(source: str) -> str:
    """Make a model's name of a repository's or a directory's."""
    last = source.rstrip("/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", last).strip("-_")[:NAME_LENGTH].strip("-_")


def new_stanza(found: Found, *, cores: int, taken: Collection[str] = ()) -> Mapping[str, Any]:
    """Write a few lines that serve it: a context of 8192 tokens, and memory for four sequences of that length.

    Clients may call it as the hub does, unless another model has that alias: `taken` are those in use.
    """
    locked, checkpoint = found.locked, found.locked.checkpoint
    source = str(locked.hub or locked.path)
    weights = {"hub": locked.hub, "revision": locked.commit} if locked.hub else {"path": locked.path}
    aliases = {"aliases": [locked.hub]} if locked.hub and locked.hub not in taken else {}
    return {
        "description": source.rstrip("/").rpartition("/")[2],
        **aliases,
        "weights": weights,
        "cores": cores,
        "engine": engine_for(checkpoint, cores),
    }


def engine_for(checkpoint: Checkpoint, cores: int) -> Mapping[str, Any]:
    """Choose arguments that vLLM starts with."""
    shape = checkpoint.shape
    tokens = min(CONTEXT, shape.max_position_embeddings)
    is_float32 = shape.dtype == "float32" and checkpoint.quantization is None
    dtype = "float32" if is_float32 else "bfloat16"
    step = step_tokens(checkpoint, cores=cores, sequences=SEQUENCES)
    needed = SEQUENCES * sequence_bytes(shape.attention, dtype, tokens=tokens, step_tokens=step)
    unit, name = (GIB, "GiB") if needed > GIB else (MIB, "MiB")
    return {
        **({"dtype": dtype} if is_float32 else {}),
        "max_model_len": tokens,
        "max_num_seqs": SEQUENCES,
        "kv_cache_memory_bytes": f"{-(-needed // unit)}{name}",
        **({"limit_mm_per_prompt": {"image": 1}} if shape.takes_pictures else {}),
    }


def save(file: Path, text: str, lock: ModelLock) -> None:
    """Write both files, if they are right together. Raises ConfigError, and then nothing has changed."""
    parse_deployment(text, file.name, lock, file.parent)
    real = file.resolve()  # a link stays one
    try:
        write_lock(lock_path(file), lock)
        if real.read_bytes() != text.encode():
            replace_file(real, text, mode=stat.S_IMODE(real.stat().st_mode))
    except OSError as error:
        raise ConfigError([f"{file}: cannot be written: {why(error)}. Free some disk, or get the right to."]) from None
