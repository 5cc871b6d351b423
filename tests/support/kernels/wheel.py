"""Build the wheel axion_kernels in the engine environment and unpack it beside: that environment is sealed."""

import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
OUTPUT = REPOSITORY / "out" / "kernels"


def unpack_wheel(engine_python: str) -> Path:
    """Return a folder for PYTHONPATH. Compiles only what changed since the last time; minutes the first time."""
    wheels, site = OUTPUT / "wheels", OUTPUT / "site"
    for made in (wheels, site):
        shutil.rmtree(made, ignore_errors=True)
    pip = [engine_python, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", f"{REPOSITORY}/kernels", "--no-build-isolation", "--no-deps", "--wheel-dir", str(wheels)]
    _run(build)
    (wheel,) = wheels.iterdir()
    _run([*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)])
    return site


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
