"""vLLM compiled for aarch64 from its real sources, and proven: `sudo AXION_MIRROR=/path make rehearse-source`.

An emulated Debian for arm64 takes the sources from a mirror that somebody made, git/onednn.git and git/acl.git below
AXION_MIRROR, and everything else from the package index. The user's own command compiles there; the compiler proper
runs natively behind the host's compiler's name. What emulation cannot is printed first, and so is what is not as
pinned. It takes hours, and says how long, how much disk and how much memory.
"""

import argparse
import os
import sys
from pathlib import Path

from build.pins import PINS, load_pins
from tests.support.arm.wheelhouse import WHEELHOUSE
from tests.support.emulated.frame import emulated_host, rehearsed
from tests.support.emulated.source import (
    CCACHE,
    CCACHE_ON_HOST,
    MIRROR,
    SDISTS,
    SourceRehearsal,
    adapted_checkout,
    fetch_sdist,
    mirror_problems,
)
from tests.support.rehearsal.transcript import Transcript
from tests.support.requirements.runs import RUNS, prepare
from tests.support.web import free_port

PIP = f"[global]\nno-index = true\nfind-links = {MIRROR}/wheels\n"


def rehearse(mirror: Path, folder: Path, shown: Transcript) -> None:
    """Run all steps. Raises StepError at the first that is not as expected."""
    with shown.step("vLLM's sources, once"):
        fetch_sdist()
    CCACHE.mkdir(parents=True, exist_ok=True)
    folders = {WHEELHOUSE: "wheels", SDISTS: "sdists", mirror / "git": "git"}
    binds, kept = {here: f"{MIRROR}/{name}" for here, name in folders.items()}, {CCACHE: CCACHE_ON_HOST}
    checkout = adapted_checkout(folder / "checkout", mirror, say=shown.say)
    with emulated_host("rehearse-source", shown, pip=PIP, binds=binds, kept=kept) as machine:
        SourceRehearsal(machine=machine, folder=folder, port=free_port(), times=shown.times, checkout=checkout).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.rehearse_source", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    is_check = parser.parse_args().check
    mirror = os.environ.pop("AXION_MIRROR", "")
    problems = list(mirror_problems(mirror, load_pins(PINS)))
    if is_check:
        problems += prepare([RUNS["rehearsal-source"]])
        print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
        return 1 if problems else 0

    def run(folder: Path, shown: Transcript) -> None:
        rehearse(Path(mirror), folder, shown)

    return rehearsed("rehearsal-source", run, problems=problems, closing="Compiled, proven and answering, emulated.")


if __name__ == "__main__":
    sys.exit(main())
