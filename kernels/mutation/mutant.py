"""The list of mutants: single edits of the kernels, each of which some test must notice."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, ValidationError

from deployment.document import Document
from deployment.frozen import Frozen
from deployment.problems import describe

Isa = Literal["portable", "neon", "sve2"]
ISAS = get_args(Isa)


class MutationError(Exception):
    """What the user can put right; one line for each mistake."""


class Mutant(Frozen):
    """One edit of one file. The fields are explained in mutants/README.md."""

    family: str
    isa: Isa = Field(description="the one whose tests must fail")
    file: str
    what: str = Field(description="a few words on the edit")
    old: str
    new: str
    equivalent: str = ""

    @property
    def name(self) -> str:
        return f"{self.family} {self.isa}: {self.what}"


def suites_of(kernels: Path, family: str) -> tuple[set[str], set[str]]:
    """The suites of a family, those with a parameter for the ISA and those without one.

    A family's tests are the files that begin with its name, as AXION_ONLY in CMakeLists.txt has it.
    """
    text = "\n".join(path.read_text() for path in sorted(kernels.glob(f"test/{family}*_test.cpp")))
    return set(re.findall(r"^TEST_P\((\w+),", text, re.MULTILINE)), set(
        re.findall(r"^TEST\((\w+),", text, re.MULTILINE)
    )


def read_mutants(folder: Path, kernels: Path) -> list[Mutant]:
    """All of them, checked against the sources of `kernels`; raises MutationError with every mistake there is."""
    mutants, mistakes = [], []
    for path in sorted(folder.glob("*.toml")):
        for number, entry in enumerate(tomllib.loads(path.read_text()).get("mutant", []), 1):
            try:
                mutants.append(Mutant.model_validate({"family": path.stem, **entry}))
            except ValidationError as error:
                mistakes += describe(error, (f"mutant {number}",), Document(path.name, {}), Mutant)
    for name, times in Counter(mutant.name for mutant in mutants).items():
        if times > 1:
            mistakes.append(f"{name}: a name of its own, got it {times} times. Say in `what` how they differ.")
    for mutant in mutants:
        mistakes += [f"{mutant.name}: {mistake}" for mistake in _mistakes(mutant, kernels)]
    if mistakes:
        raise MutationError("\n".join(mistakes))
    return mutants


def _mistakes(mutant: Mutant, kernels: Path) -> list[str]:
    wrong = []
    if not any(suites_of(kernels, mutant.family)):
        wrong.append(f"family: the beginning of a file in test/, got {mutant.family}. Rename its list.")
    source = kernels / mutant.file
    if not source.is_file():
        return [*wrong, f"file: a source in kernels/, got {mutant.file}. Adapt it to the tree."]
    times = source.read_text().count(mutant.old)
    if times != 1:
        wrong.append(f"old: once in {mutant.file}, got {times} times. Adapt it to the source.")
    if mutant.old == mutant.new:
        wrong.append("new: another text than `old`, got the same. Change something.")
    return wrong
