"""Trace operators inside a process that does much else: a program for Arm that marks the calls to look at.

The program is a Python of an emulated machine's files (make test-arm makes them) with torch and vLLM as published for
Arm. A section holds everything that ran between two marks, interpreter and dispatcher included; which functions of
which library belong to the operator is the caller's to say.
"""

import json
import os
import subprocess
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kernels.model.model import BLOCK_LIMIT, QEMU, QEMU_CPU, Block, ModelError, Symbol, functions_of, read_sections

PROGRAM = Path(__file__).resolve().parents[1] / "bench" / "stock_operators.py"
LIMIT = 20 * BLOCK_LIMIT  # of all sections together
BOUND_S = 3600.0
GENERATED = "(generated code)"  # oneDNN's


@dataclass(frozen=True)
class Machine:
    """The files of an emulated machine: `root` a small Debian for arm64, `site` its packages for Python."""

    root: Path
    site: Path

    @classmethod
    def at(cls, folder: Path) -> "Machine":
        machine = cls(folder / "root", folder / "site")
        missing = [str(path) for path in (machine.root, machine.site) if not path.is_dir()]
        if missing:
            raise ModelError(f"{', '.join(missing)}: no such folder. Run `make test-arm`, which makes it.")
        return machine

    def seen_in(self, folder: Path) -> Path:
        """A folder that qemu looks into first for every file, with this machine's facts instead of the host's."""
        seen = folder / "seen"
        (seen / "proc").mkdir(parents=True)
        for name, target in (("lib", "usr/lib"), ("usr", "usr"), ("etc", "etc"), ("sys", "sys")):
            (seen / name).symlink_to(self.root.resolve() / target)
        (seen / "proc" / "cpuinfo").write_bytes((self.root / "srv" / "cpuinfo").read_bytes())
        return seen


class Functions:
    """The functions of a process, by address."""

    def __init__(
        self, libraries: Mapping[str, int], unnamed: Sequence[tuple[int, int, str]], wanted: Callable[[str], bool]
    ) -> None:
        self._found: list[Symbol] = []
        for begin, end, file in unnamed:
            self.add(Symbol(file or GENERATED, begin, end))
        for path, address in libraries.items():
            if wanted(path):
                for symbol in functions_of(Path(path)):
                    self.add(Symbol(symbol.name, symbol.begin + address, symbol.end + address))

    def add(self, symbol: Symbol) -> None:
        self._found.append(symbol)

    @cached_property
    def _ordered(self) -> tuple[list[Symbol], list[int]]:
        """Of several names for one function any, and none of what has no size."""
        by_address = {symbol.begin: symbol for symbol in self._found if symbol.end > symbol.begin}
        begins = sorted(by_address)
        return [by_address[begin] for begin in begins], begins

    def at(self, address: int) -> Symbol | None:
        symbols, begins = self._ordered
        index = bisect_right(begins, address) - 1
        return symbols[index] if index >= 0 and address in symbols[index] else None


@dataclass(frozen=True)
class Traced:
    """The sections of one run by name, and the functions that they are made of."""

    sections: Mapping[str, list[Block]]
    functions: Functions

    def of(self, section: str, is_counted: Callable[[str], bool]) -> tuple[list[Block], list[Symbol]]:
        """The blocks of a section whose function is counted, in order, and these functions."""
        kept, symbols = [], {}
        for block in self.sections[section]:
            symbol = self.functions.at(block.address)
            if symbol is not None and is_counted(symbol.name):
                kept.append(block)
                symbols[symbol.begin] = symbol
        return kept, list(symbols.values())

    def instructions(self, section: str) -> Counter[str]:
        """How many each function ran: what to look at before saying which are counted."""
        counts: Counter[str] = Counter()
        for block in self.sections[section]:
            symbol = self.functions.at(block.address)
            counts[symbol.name if symbol else "(elsewhere)"] += len(block.words)
        return counts


def trace_marked(
    plugin: Path, machine: Machine, asked: Sequence[Mapping[str, Any]], wanted: Callable[[str], bool]
) -> Traced:
    """Run the calls of bench/stock_operators.py; `wanted` says of a library's path whether its functions are read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "asked.json").write_text(json.dumps(asked))
        out, told = folder / "trace", folder / "told.json"
        loaded = f"{plugin},out={out},limit={LIMIT},marked=on"
        command = [QEMU, "-cpu", QEMU_CPU, "-L", str(machine.seen_in(folder)), "-plugin", loaded]
        command += [str(machine.root / "usr/bin/python3.11"), "-P", str(PROGRAM), str(folder / "asked.json"), str(told)]
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(machine.site.resolve()), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False, timeout=BOUND_S)
        if done.returncode != 0:
            raise ModelError(f"{PROGRAM.name}: exit status {done.returncode} in emulation. Its reason stands above.")
        answer = json.loads(told.read_text())
        sections = read_sections(out.read_text().splitlines(), PROGRAM.name)
    named = dict(zip(answer["sections"], sections, strict=True))
    return Traced(named, Functions(answer["libraries"], answer["unnamed"], wanted))
