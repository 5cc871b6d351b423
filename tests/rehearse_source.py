"""vLLM compiled for aarch64 from its real sources, and proven: `sudo AXION_MIRROR=/path make rehearse-source`.

An emulated Debian for arm64 takes the sources from a mirror that somebody made, git/onednn.git and git/acl.git below
AXION_MIRROR, and everything else from the package index. The user's own command compiles there; the compiler proper
runs natively behind the host's compiler's name. What emulation cannot is printed first, and so is what is not as
pinned. It takes hours, and says how long, how much disk and how much memory.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from build.errors import DeployError
from build.pins import load_pins
from build.prepare import PINS
from tests.arm.host import arm_programs_run
from tests.arm.wheelhouse import WHEELHOUSE, make_wheelhouse
from tests.emulated import served
from tests.emulated.source import (
    CCACHE,
    CCACHE_ON_HOST,
    MIRROR,
    SDISTS,
    SourceRehearsal,
    adapted_checkout,
    fetch_sdist,
    mirror_problems,
)
from tests.local_deployment import free_port
from tests.machines.arm import LIMITS, arm_layer
from tests.machines.compiler import compiler_layer
from tests.machines.machine import Machine
from tests.machines.root import make_root
from tests.rehearsal.transcript import StepError, Transcript
from tests.rehearse_arm import leftovers
from tests.requirements.runs import RUNS
from tests.requirements.runs import prepare as requirements

NAME = "rehearse-source"
PIP = f"[global]\nno-index = true\nfind-links = {MIRROR}/wheels\n"


def prepare(shown: Transcript, mirror: Path) -> Machine:
    """Make what the host is made of; what an earlier run made is taken again."""
    with shown.step("The emulated host's models"):
        served.make_models()
    with shown.step("An arm64 Debian with what a cloud image holds, once"):
        root = make_root("arm64")
    with shown.step("Every wheel that it will install, and vLLM's sources, once"):
        make_wheelhouse(root)
        fetch_sdist()
    layers = (arm_layer(), compiler_layer(root))
    folders = {WHEELHOUSE: "wheels", SDISTS: "sdists", mirror / "git": "git"}
    binds = {here: f"{MIRROR}/{name}" for here, name in folders.items()} | {served.MODELS: served.ON_HOST}
    CCACHE.mkdir(parents=True, exist_ok=True)
    kept = {CCACHE: CCACHE_ON_HOST}
    return Machine(NAME, port=free_port(), architecture="arm64", layers=layers, binds=binds, kept=kept)


def rehearse(folder: Path, mirror: Path) -> list[str]:
    """Run all steps; returns what was not as expected."""
    shown = Transcript()
    with arm_programs_run():
        machine = prepare(shown, mirror)
        try:
            checkout = adapted_checkout(folder / "checkout", mirror, say=shown.say)
            with shown.step("Boot it"):
                machine.create()
                (machine.root / "etc" / "pip.conf").write_text(PIP)
                machine.boot()
            SourceRehearsal(
                machine=machine, folder=folder, port=free_port(), times=shown.times, checkout=checkout
            ).run()
        except StepError as failure:
            return [str(failure)]
        finally:
            machine.remove()
            shown.print_times()
    return leftovers(machine)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rehearse_source", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    is_check = parser.parse_args().check
    mirror = os.environ.pop("AXION_MIRROR", "")
    problems = [*mirror_problems(mirror, load_pins(PINS)), *requirements([RUNS["rehearsal-source"]])]
    if not problems and not is_check:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whoever cancels it wants nothing left
        print("An emulated host. What emulation cannot, and what stands in its place:")
        for what, instead in LIMITS.items():
            print(f"    {what}: {instead}")
        folder = Path(tempfile.mkdtemp(prefix="axion-rehearsal-"))
        try:
            problems = rehearse(folder, Path(mirror))
        except DeployError as error:
            problems = list(error.problems)
        except KeyboardInterrupt:
            print("\nInterrupted, and everything ended.", file=sys.stderr)
            return 130
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
