"""What makes an emulated host of arm64 look like Neoverse V2 to programs in it, as support/arm does for a bare root.

LIMITS is all that emulation cannot, with what stands in its place: nothing else about such a host is made easier.
"""

import hashlib
import os
from pathlib import Path

from tests.support.arm import machine
from tests.support.arm.emulation import NEOVERSE_V2
from tests.support.arm.machine import write_facts
from tests.support.machines.root import OUTPUT, made_once

LIMITS = {
    "namespaces": "qemu-user cannot make them: PrivateNetwork=, PrivateIPC= and PrivateUsers= of our units are off",
    "orphans": "it refuses PR_SET_CHILD_SUBREAPER, by which the launcher would inherit its engine's orphans",
    "start times": "who asks for its own is told another, by a tick or two: the launcher has a second program ask",
    "processor": "/proc/cpuinfo, /sys/devices/system/cpu and lscpu are this computer's: files describe a Neoverse V2",
    "torch": "the index has it for Arm with CUDA only: that is renamed +cpu and says that it has none, its wheel holds "
    "stand-ins for NVIDIA's libraries, one with the sbgemm_ that vLLM links to and no model here calls",
    "compiler": "g++ comes by apt and is Debian's, but its cc1plus and as are the cross-compiler's and run natively",
    "pip": "it takes wheels from a directory of this computer, filled from the package index, and compiles no bytecode",
    "time": "no torch.compile (enforce_eager), watchdog_s is an hour, and the gate waits longer than usual",
}
"""By what is meant, for whoever reads a transcript."""

ROOT = "/opt/axion"
FACTS = Path(machine.__file__)
# nspawn itself can lay nothing over /proc and /sys.
MOUNTS = """[Unit]
Description=Show a Neoverse V2 in place of the machine that emulates it
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/mount --bind /srv/cpuinfo /proc/cpuinfo
ExecStart=/usr/bin/mount --bind /srv/sys/devices/system/cpu /sys/devices/system/cpu
"""

# Namespaces that the emulation of system calls cannot make.
EMULATED = "[Service]\nPrivateNetwork=no\nPrivateIPC=no\nPrivateUsers=no\n"
# ProtectProc= gives a unit a /proc of its own, with this computer's processor in it, of which torch's cpuinfo dies.
EMULATED += "BindReadOnlyPaths=/srv/cpuinfo:/proc/cpuinfo\n"
# Of what the launcher asks, the emulation refuses one call and answers one question wrongly; see LIMITS.
LAUNCHER = """import dataclasses
import os
import subprocess
import sys

from agent import launch, process_tree

read = process_tree.read_process


def read_process(pid):
    found = read(pid)
    if found is None or pid != os.getpid():
        return found
    stat = subprocess.run(("cat", f"/proc/{pid}/stat"), capture_output=True, text=True, check=True).stdout
    return dataclasses.replace(found, start_ticks=int(stat.rpartition(")")[2].split()[19]))


process_tree.read_process = read_process
process_tree.adopt_orphans = lambda: None
sys.exit(launch.main())
"""
LAUNCHED = """ExecStart=
ExecStart={root}/current/build/venv/bin/python -P /srv/launch.py --root {root} --release {root}/current --name %i
"""
UNITS = ("vllm@.service", "gateway.service", "gateway-handover.service")


def arm_layer() -> Path:
    """Return a layer with the machine's description in files, and with systemd told which CPU its programs have.

    Made once for what is in it: a host that runs must not lose the layer under its files to one that begins.
    """
    cpus = len(os.sched_getaffinity(0))
    key = hashlib.sha256(b"".join((str(cpus).encode(), Path(__file__).read_bytes(), FACTS.read_bytes()))).hexdigest()
    return made_once(OUTPUT / "layers" / f"facts-arm64-{key[:12]}", lambda draft: _write_layer(draft, cpus))


def _write_layer(draft: Path, cpus: int) -> None:
    units = draft / "etc" / "systemd" / "system"
    for directory in (draft / "srv", draft / "usr" / "bin", units / "sysinit.target.wants"):
        directory.mkdir(parents=True)
    write_facts(draft, cpus)
    (draft / "sys").rename(draft / "srv" / "sys")
    (units / "facts.service").write_text(MOUNTS)
    (units / "sysinit.target.wants" / "facts.service").symlink_to("../facts.service")
    for unit in UNITS:
        (units / f"{unit}.d").mkdir()
        started = LAUNCHED.format(root=ROOT) if unit == "vllm@.service" else ""
        (units / f"{unit}.d" / "90-emulated.conf").write_text(EMULATED + started)
    (draft / "srv" / "launch.py").write_text(LAUNCHER)
    manager = draft / "etc" / "systemd" / "system.conf.d"
    manager.mkdir()
    (manager / "cpu.conf").write_text(f"[Manager]\nDefaultEnvironment=QEMU_CPU={NEOVERSE_V2}\n")
    (draft / "etc" / "environment").write_text(f"QEMU_CPU={NEOVERSE_V2}\n")  # for those who log in
