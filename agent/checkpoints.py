"""What lies on a host for its engines: whole checkpoints and adapters, or what they lack."""

import hashlib
from pathlib import Path

from agent.completeness import examine_directory
from agent.protocol import CheckpointState


def checkpoint(directory: str) -> CheckpointState | None:
    """A checkpoint's configuration, what it lacks, and a fingerprint that changes when any of its files is replaced."""
    path = Path(directory)
    if not path.is_dir():
        return None
    found = examine_directory(path, "Put a whole checkpoint there.")
    return CheckpointState(fingerprint(path), found.problems, found.texts, found.digest)


def judge(name: str, directory: str) -> CheckpointState | None:
    """Describe a checkpoint, or, by a name of two parts, an adapter; null where nothing is."""
    return adapter(directory) if "/" in name else checkpoint(directory)


def adapter(directory: str) -> CheckpointState | None:
    """The same of a LoRA adapter, which has one file of weights and no layers of its own."""
    path = Path(directory)
    if not path.is_dir():
        return None
    wanted = ("adapter_config.json", "adapter_model.safetensors")
    said = [f"no adapter: no {name}. Put a whole adapter there." for name in wanted if not (path / name).is_file()]
    return CheckpointState(fingerprint(path), tuple(said))


def fingerprint(directory: Path) -> str:
    """Changes when any of its files is replaced."""
    files = sorted(entry for entry in directory.iterdir() if entry.is_file())
    listing = [f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()[:16]
