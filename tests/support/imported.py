"""Which modules of this checkout a task imports, asked of the process that ran it."""

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PROGRAM = """
import atexit, json, os, sys
from fabric.main import program

def tell():
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    with open(os.environ["IMPORTED"], "w") as file:
        json.dump({name: path for name, path in files.items() if path}, file)

atexit.register(tell)
program.run(["fab", *sys.argv[1:]])
"""


def imported_by(
    told: Path, *words: str, **environment: str
) -> "tuple[frozenset[str], subprocess.CompletedProcess[str]]":
    """Run a task to its end, well or not; its modules are those whose file lies in this checkout."""
    drop = ("AXION_", "COLUMNS", "FORCE_COLOR", "TTY_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    env |= {"IMPORTED": str(told), **environment}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    # What a task runs itself, as the gateway, is another process and writes another time: no such file is ours.
    files = json.loads(told.read_text())
    outside = REPOSITORY / ".venv"
    paths = {name: Path(path) for name, path in files.items()}
    ours = {n for n, p in paths.items() if p.is_relative_to(REPOSITORY) and not p.is_relative_to(outside)}
    return frozenset(ours), ran
