"""A deployment to an emulated arm64 host with real materials throughout: `sudo make rehearse-arm`.

A Debian for arm64 boots under systemd with what a cloud image holds; the user's own command deploys to it over SSH:
apt, torch, vLLM's wheel for aarch64 and its requirements, our kernels compiled there, every proof, three engines behind
the gateway. What emulation cannot is in machines/arm.py and printed first. Exits with 1 where something is not
as expected. It proves answers and says nothing about speed.
"""

import argparse
import sys
from pathlib import Path

from tests.support.arm.wheelhouse import WHEELHOUSE
from tests.support.emulated.frame import emulated_host, rehearsed
from tests.support.emulated.steps import Rehearsal
from tests.support.rehearsal.transcript import Transcript
from tests.support.web import free_port

WHEELS = "/srv/wheelhouse"
# Without bytecode of modules that nobody imports, which is minutes of emulation: whatever runs first compiles the rest.
PIP = f"[global]\nno-index = true\nfind-links = {WHEELS}\n[install]\nno-compile = no\n"


def rehearse(folder: Path, shown: Transcript) -> None:
    """Run all steps. Raises StepError at the first that is not as expected."""
    with emulated_host("rehearse-arm", shown, pip=PIP, binds={WHEELHOUSE: WHEELS}) as machine:
        Rehearsal(machine=machine, folder=folder, port=free_port(), times=shown.times).run()


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tests.support.rehearse_arm", description=__doc__).parse_args()
    closing = "All as expected, and nothing is left but what a second run takes again (out/arm, out/machines)."
    sys.exit(rehearsed("rehearsal-arm", rehearse, problems=[], closing=closing))
