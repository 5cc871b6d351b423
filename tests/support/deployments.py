"""A small valid models file that tests bend one way at a time, with the facts of checkpoints that fit it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.lock import LockedModel, ModelLock, lock_path, read_lock, write_lock
from deployment.models.load import parse_deployment
from deployment.models.spec import Deployment
from tests.support.hollow import checkpoint

DEMONSTRATION_LOCK = Path(__file__).parents[2] / "examples" / "demo" / "models.lock.json"


def model(**changes: Any) -> dict[str, Any]:
    """One model; `engine` is merged, everything else is replaced."""
    engine = {"max_model_len": 1024, "kv_cache_memory_bytes": "64MiB", **changes.pop("engine", {})}
    weights = changes.pop("weights", {"path": "checkpoints/tiny"})
    return {"description": "A small one", "cores": 1, "weights": weights, "engine": engine, **changes}


def document(models: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A models file with two models, as data."""
    chosen = models or {"alpha": model(aliases=["first"]), "beta": model()}
    base = {"default_model": next(iter(chosen)), "models": chosen, "host": {"reserved_cores": 0}}
    return {**base, **changes}


def lock_of(data: Any, checkpoints: Mapping[str, Checkpoint] | None = None) -> ModelLock:
    """The lock of a models file: for each model the facts given, or those of a tiny checkpoint."""
    models = data.get("models") if isinstance(data, dict) else None
    given, locked = checkpoints or {}, {}
    for name, each in models.items() if isinstance(models, dict) else ():
        weights = each.get("weights") if isinstance(each, dict) else None
        source = {key: value for key, value in (weights or {}).items() if key in ("hub", "revision", "path")}
        commit = source.pop("revision", None)
        facts = given.get(str(name)) or checkpoint()
        locked[str(name)] = LockedModel.model_construct(**source, commit=commit, files={}, checkpoint=facts)
    return ModelLock.model_construct(models=locked)


def write_models(file: Path, data: Any, checkpoints: Mapping[str, Checkpoint] | None = None) -> None:
    """Write a models file and the lock beside it."""
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    write_lock(lock_path(file), lock_of(data, checkpoints))


def demonstration_checkpoints() -> dict[str, Checkpoint]:
    """The facts of the demonstration's models."""
    return {name: locked.checkpoint for name, locked in read_lock(DEMONSTRATION_LOCK).models.items()}


def deployment(
    models: dict[str, Any] | None = None, checkpoints: Mapping[str, Checkpoint] | None = None, **changes: Any
) -> Deployment:
    """The same, loaded."""
    data = document(models, **changes)
    return parse_deployment(yaml.safe_dump(data, sort_keys=False), "models.yaml", lock_of(data, checkpoints))
