"""What engines keep of packed weights on a host: state/<engine>/packed (axion_kernels/packed_file.py).

Input: a KernelsOrder. Output: what engines say of their kernels, and whether each file is as it was made.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from agent.protocol import KernelsAnswer, KernelsOrder
from agent.running import KernelsReport

FOLDER = "packed"
READ_TIMEOUT_S = 3600.0
"""A second for every half to two gigabytes, and the disk's own time."""


def folders(root: Path) -> list[Path]:
    """Every engine's; a link is somebody's who wanted them elsewhere."""
    found = (state / FOLDER for state in sorted((root / "state").glob("*")) if not state.is_symlink())
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def prune_packed(root: Path) -> list[str]:
    """Remove the packed weights of engines that no release has packing any more; return their engines' names."""
    named = b"\n".join(
        path.read_bytes() for path in sorted((root / "releases").glob("*/engines/*.env")) if path.is_file()
    )
    stale = [each for each in folders(root) if os.fsencode(f"/state/{each.parent.name}/{FOLDER}") not in named]
    for each in stale:
        shutil.rmtree(each)
    return [each.parent.name for each in stale]


def reports(root: Path) -> dict[str, KernelsReport]:
    """What each engine's plug-in says."""
    found = {path.stem: KernelsReport.of_file(path) for path in sorted((root / "run").glob("*.kernels"))}
    return {name: report for name, report in found.items() if report is not None}


def damaged(python: str, files: list[Path]) -> list[str]:
    """What is wrong with these, as the environment's own reader of them says."""
    if not files:
        return []
    done = subprocess.run(
        [python, "-I", "-m", "axion_kernels.packed_file", *map(str, files)],
        capture_output=True, text=True, errors="replace", timeout=READ_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return [str(problem) for problem in json.loads(done.stdout)]
    except ValueError:
        return [f"packed weights: cannot be read: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"]


def main() -> None:
    order = KernelsOrder.from_json(sys.argv[1])
    root = Path(order.root)
    # Engines that serve keep their cores busy: reading gigabytes must not be felt.
    os.nice(10)
    files = [path for folder in folders(root) for path in sorted(folder.glob("*.packed")) if path.is_file()]
    sizes = {str(path.relative_to(root)): path.stat().st_size for path in files}
    print(KernelsAnswer(reports(root), sizes, tuple(damaged(order.python, files))).to_json())
