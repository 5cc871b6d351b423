"""A case of the modelled benchmark, and what came out of it."""

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from deployment.document import Document
from deployment.frozen import Frozen
from deployment.problems import describe
from kernels.model.model import ModelError, Modelled

GATED_WIDTH = 8  # V2's dispatch in instructions: the width that the bars are stated for


class Case(Frozen):
    """One call of one kernel. The fields are explained in cases.toml."""

    name: str
    program: str
    arguments: list[str]
    symbols: list[str]
    figure: Literal["per_cycle", "cycles_per_unit", "cycles"] = Field(description="one of these")
    unit: str
    work: int = Field(description="how many units one call computes")
    ideal_cycles: int | None = None
    at_least: int | float | None = None
    at_most: int | float | None = None
    plain: str | None = None


@dataclass(frozen=True)
class Result:
    case: Case
    modelled: Modelled

    def figure(self, width: int = GATED_WIDTH) -> float:
        cycles = self.modelled.cycles[width]
        if self.case.figure == "cycles":
            return cycles
        return self.case.work / cycles if self.case.figure == "per_cycle" else cycles / self.case.work

    def cycles_per_unit(self) -> float:
        return self.modelled.cycles[GATED_WIDTH] / self.case.work

    def share_of_ideal(self) -> float | None:
        ideal = self.case.ideal_cycles
        return None if ideal is None else ideal / self.modelled.cycles[GATED_WIDTH]

    def verdict(self) -> str:
        """Against the bar: pass, worse, or nothing where none is set."""
        if self.case.at_least is not None:
            return "pass" if self.figure() >= self.case.at_least else "worse"
        if self.case.at_most is not None:
            return "pass" if self.figure() <= self.case.at_most else "worse"
        return ""

    def as_json(self) -> dict[str, Any]:
        return {
            "program": [self.case.program, *self.case.arguments],
            "functions": self.modelled.symbols,
            "calls_outside": self.modelled.calls_outside,
            "instructions": self.modelled.instructions,
            **{f"cycles_d{width}": cycles for width, cycles in self.modelled.cycles.items()},
            "figure": round(self.figure(), 4),
            "figure_kind": self.case.figure,
            "unit": self.case.unit,
            "share_of_ideal": self.share_of_ideal(),
            "at_least": self.case.at_least,
            "at_most": self.case.at_most,
            "verdict": self.verdict(),
        }


def read_cases(path: Path) -> list[Case]:
    """All of them; ModelError with every mistake of the file."""
    entries = tomllib.loads(path.read_text())["case"]
    names = [entry.get("name", f"case {number}") for number, entry in enumerate(entries, 1)]
    cases, wrong = [], []
    for name, entry in zip(names, entries, strict=True):
        try:
            cases.append(Case.model_validate(entry))
        except ValidationError as error:
            wrong += describe(error, (name,), Document(path.name, {}), Case)
        if entry.get("plain") not in (None, *names):
            wrong.append(f"{path.name} {name}.plain: no such case, got {entry['plain']}. Correct it.")
    wrong += [
        f"{path.name} {name}: a name of {times} cases. Rename one."
        for name, times in Counter(names).items()
        if times > 1
    ]
    if wrong:
        raise ModelError("\n".join(wrong))
    return cases
