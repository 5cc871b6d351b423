"""The README's commands as a user types them, on this computer alone: a host of a cloud of our own is brought up,
serves, stops itself when nobody comes, and is destroyed.

`sudo make rehearse`: the real Pulumi CLI and gcloud, real SSH, real systemd, real vLLM, and no account anywhere.
`--stand-in` takes stand-ins for the engines, which saves some minutes. Exits with 1 where something is not as expected.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.support.pulumi_stack import find_cli
from tests.support.rehearsal.leftovers import leftovers
from tests.support.rehearsal.served import Demonstration, Served, StandIns
from tests.support.rehearsal.steps import Rehearsal
from tests.support.rehearsal.transcript import StepError
from tests.support.rehearsal.world import world
from tests.support.requirements.runs import RUNS, prepare
from tests.support.requirements.tools import GCLOUD, put_on_path

STACK = "dev"
SETTLE_S = 10.0


def rehearse(folder: Path, served: Served) -> list[str]:
    """Run all steps; returns what was not as expected."""
    cli = find_cli()
    assert cli is not None, "it was asked for"
    problems: list[str] = []
    with world(folder, cli, stack=STACK, layers=served.layers, binds=served.binds) as around:
        rehearsal = Rehearsal(world=around, served=served)
        try:
            rehearsal.run()
        except StepError as failure:
            problems.append(str(failure))
            problems += around.datacenter.problems
        finally:
            rehearsal.print_times()
    return problems + [f"left on this computer: {each}" for each in settled(folder)]


def settled(folder: Path) -> list[str]:
    """What is left when everything that was told to end has had the time for it."""
    deadline = time.monotonic() + SETTLE_S
    while (left := leftovers(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.rehearse", description=__doc__)
    parser.add_argument("--stand-in", action="store_true", help="stand-ins for the engines: no vLLM is built or run")
    given = parser.parse_args()
    problems = prepare([replace(RUNS["rehearsal"], has_engine=not given.stand_in)])
    if not problems:
        put_on_path(GCLOUD)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whoever cancels it wants nothing left
        folder = Path(tempfile.mkdtemp(prefix="axion-rehearsal-"))
        try:
            problems = rehearse(folder, StandIns(folder / "stand-in") if given.stand_in else Demonstration())
        except KeyboardInterrupt:
            left = settled(folder)
            print("\nInterrupted; still there:" if left else "\nInterrupted, and everything ended.", file=sys.stderr)
            print("\n".join(left), file=sys.stderr)
            return 1 if left else 130
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("\nAll as expected. No account was used, and nothing is left on this computer.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
