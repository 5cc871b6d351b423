"""An engine environment without an engine, as layers over a host's files.

What fakes/engine_environment.py does for this computer: stand-ins for `vllm`, `torch` and `transformers` in a
virtual environment made from the host's own Python, sealed under the digest that the pins have there.
"""

import hashlib
import sys
from pathlib import Path

from build.engine.origin import choose_origin
from build.engine.recipe import wanted_digest
from build.pins import CONSTRAINTS, PINS, constraint_lines, load_pins
from tests.support.arm.host import REPOSITORY, run
from tests.support.arm.root import PYTHON
from tests.support.fakes.engine_environment import write_build
from tests.support.machines.root import OUTPUT, Architecture, made_once

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
GLIBC = (34, 28, 17)  # the tags that these packages have on the index, up to Debian 12's
# What the gateway and the stand-in import; nothing else of a real environment is asked for.
IMPORTED = ("aiohttp", "prometheus-client", "pydantic", "pyyaml")
PACKAGES, CHECKOUT = "srv/stand-in/site", "srv/stand-in/checkout"


def standin_layers(architecture: Architecture, root: str = "opt/axion") -> tuple[Path, Path]:
    """Return the layers of a host that has the environment below `root`; packages are installed once."""
    return _environment(architecture, root), _packages(architecture)


def _environment(architecture: Architecture, root: str) -> Path:
    """Made anew for each use: pins and stand-ins change, and it is small."""
    machine, pins = MACHINES[architecture], load_pins(PINS)
    origin = choose_origin(pins, machine=machine)
    constraints = CONSTRAINTS.read_text(encoding="utf-8")
    digest = wanted_digest(pins, constraints, machine=machine, python=PYTHON, origin=origin)
    fakes = REPOSITORY / "tests" / "support" / "fakes"
    sources = {path.name: path.read_bytes() for path in sorted(fakes.glob("*.py"))}
    made_of = (digest.encode(), root.encode(), *sources.values(), Path(__file__).read_bytes())
    key = hashlib.sha256(b"\0".join(made_of)).hexdigest()

    def write(draft: Path) -> None:
        fakes = draft / CHECKOUT / "tests" / "support" / "fakes"
        fakes.mkdir(parents=True)
        for name, source in sources.items():
            (fakes / name).write_bytes(source)
        python = Path(f"/usr/bin/python{PYTHON}")
        build = draft / root / "builds" / digest
        write_build(build, pins, python=python, packages=f"/{PACKAGES}", checkout=f"/{CHECKOUT}")

    return made_once(OUTPUT / "layers" / f"environment-{architecture}-{key[:12]}", write)


def _packages(architecture: Architecture) -> Path:
    constraints = "\n".join(constraint_lines((REPOSITORY / "constraints.txt").read_text()))
    key = hashlib.sha256("\0".join((constraints, *IMPORTED)).encode()).hexdigest()
    tags = [f"manylinux_2_{minor}_{MACHINES[architecture]}" for minor in GLIBC]
    tags += [f"manylinux2014_{MACHINES[architecture]}", "any"]
    target = ("--python-version", PYTHON, "--implementation", "cp", "--only-binary", ":all:")

    def install(draft: Path) -> None:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--root-user-action", "ignore")
        platforms = (word for tag in tags for word in ("--platform", tag))
        given = ("--target", draft / PACKAGES, "--constraint", REPOSITORY / "constraints.txt", *IMPORTED)
        run(*pip, *target, *platforms, *given, what="install what the gateway imports", timeout_s=600)

    return made_once(OUTPUT / "layers" / f"packages-{architecture}-{key[:12]}", install)
