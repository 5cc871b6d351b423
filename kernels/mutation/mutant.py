"""The list of mutants: single edits of the kernels, each of which some test must notice."""

import re
import tomllib
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

ISAS = ("portable", "neon", "sve2")


class MutationError(Exception):
    """What the user can put right; one line for each mistake."""


@dataclass(frozen=True)
class Mutant:
    """One edit of one file. The fields are explained in mutants/README.md."""

    family: str
    isa: str
    file: str
    what: str
    old: str
    new: str
    equivalent: str = ""

    @property
    def name(self) -> str:
        return f"{self.family} {self.isa}: {self.what}"


KNOWN = [field.name for field in fields(Mutant) if field.name != "family"]


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
            wrong = _wrong_keys(f"{path.name}: mutant {number}", entry)
            mistakes += wrong
            if not wrong:
                mutants.append(Mutant(family=path.stem, **entry))
    for name, times in Counter(mutant.name for mutant in mutants).items():
        if times > 1:
            mistakes.append(f"{name}: a name of its own, got it {times} times. Say in `what` how they differ.")
    for mutant in mutants:
        mistakes += [f"{mutant.name}: {mistake}" for mistake in _mistakes(mutant, kernels)]
    if mistakes:
        raise MutationError("\n".join(mistakes))
    return mutants


def _wrong_keys(where: str, entry: dict[str, Any]) -> list[str]:
    wrong = [f"{where}: {key}: a string, got nothing. Add it." for key in KNOWN[:-1] if key not in entry]
    for key, value in entry.items():
        if key not in KNOWN:
            wrong.append(f"{where}: {key}: one of {', '.join(KNOWN)}, got {key}. Remove it.")
        elif not isinstance(value, str):
            wrong.append(f"{where}: {key}: a string, got {value!r}. Quote it.")
    return wrong


def _mistakes(mutant: Mutant, kernels: Path) -> list[str]:
    wrong = []
    if mutant.isa not in ISAS:
        wrong.append(f"isa: one of {', '.join(ISAS)}, got {mutant.isa}. Name the one whose tests must fail.")
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
