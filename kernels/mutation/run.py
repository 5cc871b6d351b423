"""The mutation check: with each edit of mutants/ made alone, some test of the kernels must fail."""

import argparse
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.table import Table

from kernels.model.build import PACKAGES, install_missing
from kernels.model.model import ModelError
from kernels.mutation.mutant import ISAS, Mutant, MutationError, read_mutants
from kernels.mutation.tree import TARGET_OF, Tree

KERNELS = Path(__file__).resolve().parents[1]
OUT = KERNELS.parent / "out/kernels/mutants"
LIST = Path(__file__).with_name("mutants")
PIPE_COLUMNS = 200
NATIVE_PROGRAMS = {"cmake": "cmake", "ninja": "ninja-build", "g++": "g++", "/usr/src/googletest": "googletest"}
PROGRAMS = {"native": NATIVE_PROGRAMS, "axion": {**PACKAGES, **NATIVE_PROGRAMS}}
# A mutant may make the tests endless. The floor is for a busy machine.
LIMIT_FACTOR, LEAST_LIMIT_S = 20.0, 120.0


@dataclass(frozen=True)
class Verdict:
    """`killed_by` is the test that failed, or empty."""

    mutant: Mutant
    killed_by: str
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether the tests did what the list says: noticed it, or could not since nothing is wrong."""
        return bool(self.killed_by) != bool(self.mutant.equivalent)

    @property
    def word(self) -> str:
        if self.mutant.equivalent:
            return "equivalent" if self.is_good else "killed, declared equivalent"
        return "killed" if self.is_good else "SURVIVED"


def try_family(tree: Tree, family: str, mutants: list[Mutant]) -> Iterator[Verdict]:
    """All of a family that are for this tree; first its sources as they are, whose tests must pass."""
    tree.prepare(family)
    limits_s: dict[str, float] = {}
    for isa in sorted({mutant.isa for mutant in mutants}):
        sound = tree.test(family, isa, 10 * LEAST_LIMIT_S)
        if sound.failed:
            raise MutationError(f"{family} {isa}: tests that pass without an edit, got {sound.failed}. Mend it first.")
        limits_s[isa] = max(LIMIT_FACTOR * sound.seconds, LEAST_LIMIT_S)
        print(f"[{sound.ran} tests pass, {sound.seconds:.1f} s] {family} {isa}", file=sys.stderr, flush=True)
    with tree.unchanged_in_the_end({mutant.file for mutant in mutants}):
        # By file: one that was mended needs no build of its own when the next edit is in the same file.
        for mutant in sorted(mutants, key=lambda mutant: mutant.file):
            began = time.monotonic()
            try:
                with tree.edited(mutant):
                    tree.build()
                    outcome = tree.test(family, mutant.isa, limits_s[mutant.isa])
            except MutationError as error:
                raise MutationError(f"{mutant.name}: an edit that compiles, got an error. Mend it.\n{error}") from error
            verdict = Verdict(mutant, outcome.failed, time.monotonic() - began)
            print(f"[{verdict.word}] {mutant.name}", file=sys.stderr, flush=True)
            yield verdict


def try_mutants(tree: Tree, mutants: list[Mutant], failed: Event) -> list[Verdict]:
    """Family by family, so that no more is built than an edit can change. Ends early where another tree failed."""
    verdicts = []
    try:
        tree.copy()
        for family in sorted({mutant.family for mutant in mutants}):
            for verdict in try_family(tree, family, [mutant for mutant in mutants if mutant.family == family]):
                verdicts.append(verdict)
                if failed.is_set():
                    return verdicts
    except BaseException:
        failed.set()
        raise
    return verdicts


def for_target(target: str, mutants: list[Mutant]) -> list[Mutant]:
    return [mutant for mutant in mutants if TARGET_OF[mutant.isa] == target]


def show(verdicts: list[Verdict], seconds: float) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    table = Table("mutant", "verdict", "by the test", "s", box=None, pad_edge=False)
    for verdict in verdicts:
        style = "" if verdict.is_good else "red"
        table.add_row(verdict.mutant.name, verdict.word, verdict.killed_by, f"{verdict.seconds:.1f}", style=style)
    console.print(table)
    killed = sum(bool(verdict.killed_by) for verdict in verdicts)
    console.print(f"\n{len(verdicts)} mutants, {killed} killed, {len(verdicts) - killed} not, in {seconds:.0f} s")
    for verdict in verdicts:
        if verdict.mutant.equivalent and verdict.is_good:
            console.print(f"equivalent: {verdict.mutant.name}: {verdict.mutant.equivalent}", markup=False)
    for verdict in verdicts:
        if not verdict.is_good:
            todo = "Delete the declaration." if verdict.killed_by else "Write the test that notices it."
            console.print(f"{verdict.mutant.name}: {verdict.word} ({verdict.mutant.file}). {todo}", markup=False)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutate-kernels", description=__doc__)
    parser.add_argument("--only", default="", metavar="REGEX", help="only mutants whose name (or file) has a match")
    parser.add_argument("--isa", choices=ISAS, action="append", help="only this one's mutants; may be repeated")
    parser.add_argument("--out", type=Path, default=OUT, help="where the copies are built (%(default)s)")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    began = time.monotonic()
    try:
        mutants = [
            mutant
            for mutant in read_mutants(LIST, KERNELS)
            if mutant.isa in (asked.isa or ISAS) and re.search(asked.only, f"{mutant.name} {mutant.file}")
        ]
        if not mutants:
            raise MutationError(
                f"--only: a regular expression that finds a mutant, got {asked.only}. See {LIST.name}/."
            )
        targets = {TARGET_OF[mutant.isa] for mutant in mutants}
        for target in targets:
            install_missing(PROGRAMS[target])
        trees = [Tree(KERNELS, asked.out / target, target) for target in sorted(targets)]
        failed = Event()
        with ThreadPoolExecutor(len(trees)) as pool:  # each has its own copy and its own tests
            tried = [pool.submit(try_mutants, tree, for_target(tree.target, mutants), failed) for tree in trees]
            verdicts = [verdict for each in tried for verdict in each.result()]
    except (MutationError, ModelError) as error:
        print(error, file=sys.stderr)
        return 1
    show(sorted(verdicts, key=lambda verdict: mutants.index(verdict.mutant)), time.monotonic() - began)
    return 0 if all(verdict.is_good for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
