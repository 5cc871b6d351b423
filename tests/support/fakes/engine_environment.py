"""A sealed engine environment without an engine: under the digest that the pins have, so that nothing is built.

It is a virtual environment in good order. Its interpreter is the operator's, whose packages it also sees; `vllm`,
`torch` and `transformers` are stand-ins that are as many lines long as the questions a deployment asks them.
"""

import json
import platform
import sys
import sysconfig
from pathlib import Path

from build.engine.origin import choose_origin
from build.engine.recipe import wanted_digest
from build.pins import CONSTRAINTS, PINS, Pins, load_pins

REPOSITORY = Path(__file__).parents[3]
# The first line finds the interpreter beside the program, wherever that is; to Python it is a string.
PROGRAM = """#!/bin/sh
'''exec' "${0%/*}/python" "$0" "$@" #'''
import sys
sys.path.insert(0, CHECKOUT)
from tests.support.fakes.vllm_engine import main
sys.exit(main())
"""
OPERATORS = ("cpu_attention_with_kv_cache", "onednn_mm", "rms_norm", "rotary_embedding", "silu_and_mul")
TORCH = f"""class _C:
    @staticmethod
    def _dispatch_get_all_op_names():
        return [f"_C::{{name}}" for name in {OPERATORS!r}]
"""
PLATFORMS = """class current_platform:
    device_type = "cpu"

    @staticmethod
    def import_kernels():
        pass
"""


def add_environment(root: Path) -> Path:
    """Make the environment below a host's root and return its directory."""
    pins = load_pins(PINS)
    digest = wanted_digest(
        pins,
        CONSTRAINTS.read_text(encoding="utf-8"),
        machine=platform.machine(),
        python=platform.python_version(),
        origin=choose_origin(pins, machine=platform.machine()),
    )
    build = root / "builds" / digest
    write_build(build, pins, python=Path(sys.executable).resolve(), packages=sysconfig.get_path("purelib"))
    return build


def write_build(build: Path, pins: Pins, *, python: Path, packages: str, checkout: str = str(REPOSITORY)) -> None:
    """Lay one out. The paths are the host's: its interpreter, what the gateway imports, where these stand-ins are."""
    _write_venv(build / "venv", python, checkout)
    _write_packages(build / "venv" / _site_packages(), pins, packages)
    (build / "manifest.json").write_text(json.dumps({"digest": build.name}) + "\n")


def _write_venv(venv: Path, python: Path, checkout: str) -> None:
    binaries = venv / "bin"
    binaries.mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = false\n")
    (binaries / "python").symlink_to(python)
    program = binaries / "vllm"
    program.write_text(PROGRAM.replace("CHECKOUT", repr(checkout)))
    program.chmod(0o755)


def _write_packages(site: Path, pins: Pins, packages: str) -> None:
    site.mkdir(parents=True)
    (site / "operator.pth").write_text(f"{packages}\n")
    sources = {"torch/__init__.py": TORCH, "vllm/__init__.py": "", "vllm/platforms.py": PLATFORMS}
    for path, text in sources.items():
        (site / path).parent.mkdir(exist_ok=True)
        (site / path).write_text(text)
    versions = {"vllm": f"{pins.vllm.version}+cpu", "torch": f"{pins.torch.version}+cpu", "transformers": "5.0"}
    versions["torchvision"] = f"{pins.torch.torchvision}+cpu"
    for name, version in versions.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def _site_packages() -> Path:
    return Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
