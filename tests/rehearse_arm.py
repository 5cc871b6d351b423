"""A deployment to an emulated arm64 host with real materials throughout: `sudo make rehearse-arm`.

A Debian for arm64 boots under systemd with what a cloud image holds; the user's own command deploys to it over SSH:
apt, torch, vLLM's wheel for aarch64 and its requirements, our kernels compiled there, every proof, three engines behind
the gateway. What emulation cannot is in tests/machines/arm.py and printed first. Exits with 1 where something is not
as expected. It proves answers and says nothing about speed.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from build.errors import DeployError
from tests.arm.host import arm_programs_run
from tests.arm.wheelhouse import WHEELHOUSE, make_wheelhouse
from tests.emulated import served
from tests.emulated.steps import Rehearsal
from tests.local_deployment import free_port
from tests.machines import cgroups
from tests.machines.arm import LIMITS, arm_layer
from tests.machines.compiler import compiler_layer
from tests.machines.machine import Machine
from tests.machines.root import make_root
from tests.processes import belonging_to
from tests.rehearsal.transcript import StepError, Transcript
from tests.requirements.runs import RUNS
from tests.requirements.runs import prepare as requirements

NAME = "rehearse-arm"
WHEELS = "/srv/wheelhouse"
# Without bytecode of modules that nobody imports, which is minutes of emulation: whatever runs first compiles the rest.
PIP = f"[global]\nno-index = true\nfind-links = {WHEELS}\n[install]\nno-compile = no\n"


def prepare(shown: Transcript) -> Machine:
    """Make what the host is made of; what an earlier run made is taken again."""
    with shown.step("The emulated host's models: one in AWQ, one to be quantized while it loads, one with pictures"):
        served.make_models()
    with shown.step("An arm64 Debian with what a cloud image holds, once"):
        root = make_root("arm64")
    with shown.step("Every wheel that it will install, once"):
        make_wheelhouse(root)
        shown.say(f"{len(list(WHEELHOUSE.glob('*.whl')))} wheels")
    layers = (arm_layer(), compiler_layer(root))
    binds = {WHEELHOUSE: WHEELS, served.MODELS: served.ON_HOST}
    return Machine(NAME, port=free_port(), architecture="arm64", layers=layers, binds=binds)


def rehearse(folder: Path) -> list[str]:
    """Run all steps; returns what was not as expected."""
    shown = Transcript()
    with arm_programs_run():
        machine = prepare(shown)
        try:
            with shown.step("Boot it"):
                machine.create()
                (machine.root / "etc" / "pip.conf").write_text(PIP)
                machine.boot()
            rehearsal = Rehearsal(machine=machine, folder=folder, port=free_port(), times=shown.times)
            rehearsal.run()
        except StepError as failure:
            return [str(failure)]
        finally:
            machine.remove()
            shown.print_times()
    return leftovers(machine)


def leftovers(machine: Machine) -> list[str]:
    """Whether anything of the host is left: what the kernel says."""
    found = [f"process {each.pid}: {each.command[:120]}" for each in belonging_to(machine.directory)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line.split()[4]}" for line in mounts if str(machine.directory) in line]
    found += [f"control group {group}" for group in cgroups.groups(machine.group) if group.exists()]
    return [f"left on this computer: {each}" for each in found]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rehearse_arm", description=__doc__)
    parser.parse_args()
    problems = requirements([RUNS["rehearsal-arm"]])
    if not problems:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whoever cancels it wants nothing left
        print("An emulated host. What emulation cannot, and what stands in its place:")
        for what, instead in LIMITS.items():
            print(f"    {what}: {instead}")
        folder = Path(tempfile.mkdtemp(prefix="axion-rehearsal-"))
        try:
            problems = rehearse(folder)
        except DeployError as error:
            problems = list(error.problems)
        except KeyboardInterrupt:
            print("\nInterrupted, and everything ended.", file=sys.stderr)
            return 130
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("\nAll as expected, and nothing is left but what a second run takes again (out/arm, out/machines).")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
