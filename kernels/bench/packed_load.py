"""How long an engine's weights take to load: converted at each start, against mapped from the file that was kept.

    PYTHONPATH=SITE ENGINE_PYTHON kernels/bench/packed_load.py MODEL [--quantization axion_w4] [--rounds 3]

SITE holds the unpacked wheel axion_kernels, MODEL a checkpoint. Each start is a process of its own, in eager mode; the
ways take turns, so that what else the machine does falls on all of them. "Cold" means that the kernel was asked to drop
the file and the checkpoint from memory first. Beside them: how long it takes to read the cold file from front to back,
and what vLLM itself takes for a model of as many layers and next to no weights.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NARROW = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 2}
NARROW |= {"head_dim": 32, "vocab_size": 512}
BLOCK_BYTES = 8 << 20


def start(model: str, options: dict[str, str]) -> dict[str, float]:
    """Load a model in this process: seconds for its weights, and for the whole engine."""
    from vllm import LLM  # noqa: PLC0415 - takes seconds, and only the children need it
    from vllm.v1.worker import cpu_model_runner  # noqa: PLC0415 - as above

    runner, took = cpu_model_runner.CPUModelRunner, {}
    stock = runner.load_model

    def load_model(*args: Any, **more: Any) -> None:
        began = time.monotonic()
        stock(*args, **more)
        took["load"] = time.monotonic() - began

    runner.load_model = load_model
    began = time.monotonic()
    LLM(
        model, dtype="bfloat16", max_model_len=128, max_num_seqs=1, enforce_eager=True, skip_tokenizer_init=True,
        kv_cache_memory_bytes=64 << 20, **options,
    )  # fmt: skip
    return {**took, "start": time.monotonic() - began}


def child(model: Path, options: dict[str, str], packed: Path | None) -> dict[str, float]:
    """Start one engine in a process of its own."""
    variables = {
        "AXION_KERNELS": "linear_w4,axion_w4,lm_head", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        **({"AXION_PACKED": str(packed)} if packed else {}),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, __file__, "--child"],
        input=json.dumps([str(model), options]), env={**os.environ, **variables},
        stdout=subprocess.PIPE, text=True, check=True, timeout=3600,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def forget(*folders: Path) -> None:
    """Have the kernel drop the files from memory."""
    for path in (each for folder in folders for each in folder.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(folder: Path) -> float:
    """Seconds to read the file of packed weights."""
    (path,) = folder.iterdir()
    began = time.monotonic()
    with path.open("rb", buffering=0) as file:
        while file.read(BLOCK_BYTES):
            pass
    return time.monotonic() - began


def narrow(model: Path, folder: Path) -> Path:
    """The same layers of next to no weights: what is left of a start is vLLM's own."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **NARROW}), encoding="utf-8")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description="Load times of weights that are converted, and of mapped ones.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--quantization")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    model, options = given.model.resolve(), {"quantization": given.quantization} if given.quantization else {}
    seen: dict[str, list[dict[str, float]]] = {}

    def tell(what: str, found: dict[str, float]) -> None:
        seen.setdefault(what, []).append(found)
        print(f"{what}: {found}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(dir=model.parent) as scratch:
        packed, small = Path(scratch) / "packed", Path(scratch) / "small"
        small.mkdir()
        tell("first start, makes the file", child(model, options, packed))
        for _ in range(given.rounds):
            forget(packed, model)
            tell("converted, cold", child(model, options, None))
            tell("converted, warm", child(model, options, None))
            forget(packed, model)
            tell("mapped, cold", child(model, options, packed))
            tell("mapped, warm", child(model, options, packed))
            tell("vLLM alone", child(narrow(model, small), {"load_format": "dummy"}, None))
            forget(packed)
            tell("reading the cold file", {"load": read(packed)})
        (file,) = packed.iterdir()
        print(f"Measured: {model.name}, {file.stat().st_size / 1e9:.2f} GB packed, {given.rounds} rounds, medians.\n")
    print("| | load | engine's start |\n|---|---:|---:|")
    for what, found in seen.items():
        load, whole = ([each[key] for each in found if key in each] for key in ("load", "start"))
        total = f"{statistics.median(whole):.1f} s" if whole else ""
        print(f"| {what} | {statistics.median(load):.1f} s | {total} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        print(json.dumps(start(*json.load(sys.stdin))))
    else:
        main()
