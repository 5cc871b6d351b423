"""A host directory with releases of stand-in engines, laid out as a deployment lays it out."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from agent import LAUNCHER

REPOSITORY = Path(__file__).parents[3]
STAND_IN = Path(__file__).with_name("vllm_tree.py")


def add_release(root: Path, stamp: str, engines: Mapping[str, str]) -> Path:
    """Write one release whose engines have the given .env text, and make it current."""
    binaries = root / "builds" / "b1" / "venv" / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    (root / "logs").mkdir(exist_ok=True)
    vllm = binaries / "vllm"
    vllm.write_text(f"#!{sys.executable} -SE\n{STAND_IN.read_text()}")
    vllm.chmod(0o755)
    release = root / "releases" / stamp
    (release / "engines").mkdir(parents=True)
    gateway, launcher = release / "lib" / "gateway", release / "lib" / "agent"
    for package in (gateway, launcher):
        package.mkdir(parents=True)
    (gateway / "__main__.py").write_text("import signal\n\nsignal.pause()\n")
    for module in LAUNCHER:
        (launcher / f"{module}.py").symlink_to(REPOSITORY / "agent" / f"{module}.py")
    (release / "build").symlink_to("../../builds/b1")
    for name, environment in engines.items():
        (release / "engines" / f"{name}.env").write_text(environment)
        (release / "engines" / f"{name}.yaml").write_text(f"uds: {root}/run/{name}.sock\n")
    (release / "release.json").write_text(json.dumps({"units": {name: f"{stamp}-{name}" for name in engines}}))
    draft = root / "current.new"
    draft.symlink_to(f"releases/{stamp}")
    draft.replace(root / "current")
    return release
