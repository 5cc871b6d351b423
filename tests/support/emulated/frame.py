"""What the rehearsals on an emulated host have around their steps: what they need, what stands in, nothing left."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from build.errors import DeployError
from tests.support.arm.host import arm_programs_run
from tests.support.arm.wheelhouse import WHEELHOUSE, make_wheelhouse
from tests.support.emulated import served
from tests.support.machines import cgroups
from tests.support.machines.arm import LIMITS, arm_layer
from tests.support.machines.compiler import compiler_layer
from tests.support.machines.machine import Machine
from tests.support.machines.root import make_root
from tests.support.processes import belonging_to
from tests.support.rehearsal.transcript import StepError, Transcript
from tests.support.requirements.runs import RUNS
from tests.support.requirements.runs import prepare as requirements
from tests.support.web import free_port


def rehearsed(kind: str, rehearse: Callable[[Path, Transcript], None], *, problems: list[str], closing: str) -> int:
    """Run a rehearsal in a folder of its own unless something is missing; returns the exit code."""
    problems = [*problems, *requirements([RUNS[kind]])]
    if not problems:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whoever cancels it wants nothing left
        print("An emulated host. What emulation cannot, and what stands in its place:")
        for what, instead in LIMITS.items():
            print(f"    {what}: {instead}")
        folder, shown = Path(tempfile.mkdtemp(prefix="axion-rehearsal-")), Transcript()
        try:
            with arm_programs_run():
                rehearse(folder, shown)
        except StepError as failure:
            problems = [str(failure)]
        except DeployError as error:
            problems = list(error.problems)
        except KeyboardInterrupt:
            print("\nInterrupted, and everything ended.", file=sys.stderr)
            return 130
        finally:
            shown.print_times()
            shutil.rmtree(folder, ignore_errors=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"\n{closing}")
    return 1 if problems else 0


@contextmanager
def emulated_host(
    name: str,
    shown: Transcript,
    *,
    pip: str,
    binds: Mapping[Path, str],
    kept: Mapping[Path, str] = MappingProxyType({}),
) -> Iterator[Machine]:
    """Boot an arm64 Debian that has what a cloud image has, and `pip` for a configuration; nothing of it is left.

    What it is made of is made once, and an earlier run's is taken again.
    """
    with shown.step("The emulated host's models: one in AWQ, one to be quantized while it loads, one with pictures"):
        served.make_models()
    with shown.step("An arm64 Debian with what a cloud image holds, once"):
        root = make_root("arm64")
    with shown.step("Every wheel that it will install, once"):
        make_wheelhouse(root)
        shown.say(f"{len(list(WHEELHOUSE.glob('*.whl')))} wheels")
    machine = Machine(
        name,
        port=free_port(),
        architecture="arm64",
        layers=(arm_layer(), compiler_layer(root)),
        binds={**binds, served.MODELS: served.ON_HOST},
        kept=kept,
    )
    try:
        with shown.step("Boot it"):
            machine.create()
            (machine.root / "etc" / "pip.conf").write_text(pip)
            machine.boot()
        yield machine
    finally:
        machine.remove()
    if left := leftovers(machine):
        raise DeployError(*left)


def leftovers(machine: Machine) -> list[str]:
    """Whether anything of the host is left: what the kernel says."""
    found = [f"process {each.pid}: {each.command[:120]}" for each in belonging_to(machine.directory)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line.split()[4]}" for line in mounts if str(machine.directory) in line]
    found += [f"control group {group}" for group in cgroups.groups(machine.group) if group.exists()]
    return [f"left on this computer: {each}" for each in found]
