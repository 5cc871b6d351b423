"""What an emulated host serves: an AWQ checkpoint, one that becomes int4 while it loads, one that takes pictures."""

import json
from pathlib import Path
from typing import Any

import yaml

from build.cli.demo import MODELS_FILE
from build.remote.target import DEMO_STORE
from tests.support.arm.host import OUTPUT, REPOSITORY, run

MODELS = OUTPUT / "models"
ON_HOST = "/srv/models"
PICTURES = "pictures"
# By name: the demonstration's model that it is made from, and what of its entry in the models file changes.
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "awq": ("tiny_qwen2", {}),
    "online": ("tiny_phi3", {"quantization": "axion_w4"}),
    PICTURES: ("tiny_gemma3", {}),
}
# Emulated, a step takes seconds, and what is built or warmed up for a size takes as many times longer.
SMALL = {"max_model_len": 256, "max_num_seqs": 2, "max_num_batched_tokens": 256, "kv_cache_memory_bytes": "32MiB"}
PATIENCE_S = 3600


def make_models() -> None:
    """Write them and what they must answer."""
    python = engine_python()
    paths = f"PYTHONPATH={REPOSITORY / 'kernels' / 'python'}:{REPOSITORY}"
    words = ("env", paths, python, "-P", "-m", "tests.support.kernels.quantized", DEMO_STORE / "models", MODELS)
    run(*words, what="write the models of an emulated host", timeout_s=600)


def engine_python() -> Path:
    """The Python of this computer's newest engine environment."""
    sealed = (REPOSITORY / "out" / "local" / "builds").glob("*/manifest.json")
    return max(sealed, key=lambda path: path.stat().st_mtime).parent / "venv" / "bin" / "python"


def expected() -> dict[str, Any]:
    """By model: a question, and the start of its answer."""
    told: dict[str, Any] = json.loads((MODELS / "expected.json").read_text())
    return told


def document(port: int) -> dict[str, Any]:
    """The models file as data."""
    demo = yaml.safe_load(MODELS_FILE.read_text())["models"]
    models = {name: _model(demo[source], name, **engine) for name, (source, engine) in SOURCES.items()}
    # A step must hold a picture whole, which is 256 tokens.
    models[PICTURES]["engine"] |= {"max_model_len": 512, "max_num_batched_tokens": 512}
    return {
        "default_model": "awq",
        "gateway": {"listen": [f"127.0.0.1:{port}"]},
        "host": {"reserved_cores": 0, "reserved_memory": "1GiB", "core_policy": "shared"},
        "models": models,
    }


def _model(entry: dict[str, Any], name: str, **engine: Any) -> dict[str, Any]:
    rest = {key: value for key, value in entry.items() if key != "aliases"}
    weights = {"path": f"{ON_HOST}/{name}"}
    return {**rest, "weights": weights, "watchdog_s": PATIENCE_S, "engine": {**entry["engine"], **SMALL, **engine}}
