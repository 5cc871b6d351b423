"""A case of the modelled benchmark, and what came out of it."""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from kernels.model.model import ModelError, Modelled

Figure = Literal["per_cycle", "cycles_per_unit", "cycles"]
FIGURES = get_args(Figure)
GATED_WIDTH = 8  # V2's dispatch in instructions: the width that the bars are stated for


@dataclass(frozen=True)
class Case:
    """One call of one kernel. The fields are explained in cases.toml."""

    name: str
    program: str
    arguments: list[str]
    symbols: list[str]
    figure: Figure
    unit: str
    work: int
    ideal_cycles: int | None = None
    at_least: float | None = None
    at_most: float | None = None
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

    def record(self) -> "Record":
        cycles = self.modelled.cycles
        return Record(
            program=[self.case.program, *self.case.arguments],
            functions=self.modelled.symbols,
            calls_outside=self.modelled.calls_outside,
            instructions=self.modelled.instructions,
            cycles_d16=cycles[16],
            cycles_d8=cycles[8],
            cycles_d6=cycles[6],
            figure=round(self.figure(), 4),
            figure_kind=self.case.figure,
            unit=self.case.unit,
            share_of_ideal=self.share_of_ideal(),
            at_least=self.case.at_least,
            at_most=self.case.at_most,
            verdict=self.verdict(),
        )


@dataclass(frozen=True, kw_only=True)
class Record:
    """What bench.json and the baseline hold of one case."""

    program: list[str]
    functions: list[str]
    calls_outside: dict[str, int]
    instructions: int
    cycles_d16: int
    cycles_d8: int
    cycles_d6: int
    figure: float
    figure_kind: Figure
    unit: str
    share_of_ideal: float | None
    at_least: float | None
    at_most: float | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Results:
    """bench.json, or the baseline."""

    kind: str = "modelled, not measured"
    tools: Mapping[str, str]
    """The version of each."""
    cases: Mapping[str, Record]

    @classmethod
    def read(cls, path: Path) -> "Results":
        told = json.loads(path.read_text())
        return cls(**{**told, "cases": {name: Record(**record) for name, record in told["cases"].items()}})

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def read_cases(path: Path) -> list[Case]:
    """All of them; ModelError with every mistake of the file."""
    entries = tomllib.loads(path.read_text())["case"]
    wrong = [mistake for number, entry in enumerate(entries, 1) for mistake in _mistakes(number, entry)]
    names = Counter(entry.get("name") for entry in entries)
    wrong += [
        f"{name}: a name of its own, got it {times} times. Rename one." for name, times in names.items() if times > 1
    ]
    for entry in entries:
        if entry.get("plain") not in {None, *names}:
            wrong.append(f"{entry['name']}.plain: the name of a case, got {entry['plain']!r}. Correct it.")
    if wrong:
        raise ModelError("\n".join(f"{path.name}: {mistake}" for mistake in wrong))
    return [Case(**entry) for entry in entries]


def _mistakes(number: int, entry: dict[str, Any]) -> list[str]:
    where = entry.get("name", f"case {number}")
    known = {field.name: field for field in fields(Case)}
    wrong = [f"{where}.{key}: one of {', '.join(known)}, got {key}. Remove it." for key in entry if key not in known]
    for name, field in known.items():
        if field.default is MISSING and name not in entry:
            wrong.append(f"{where}.{name}: a value, got nothing. Add it.")
    if entry.get("figure", FIGURES[0]) not in FIGURES:
        wrong.append(f"{where}.figure: one of {', '.join(FIGURES)}, got {entry['figure']!r}. Correct it.")
    return wrong
