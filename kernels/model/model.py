"""Modelled cycles of functions of an aarch64 program: their exact dynamic trace, scheduled by llvm-mca.

qemu runs the program with the plugin of trace.c, llvm-mc disassembles the words that ran, and llvm-mca schedules all of
them as one straight line on its Neoverse V2, once for each width of dispatch. Instruction counts are exact and
repeatable. Cycles are modelled, not measured: no caches, no mispredicted branches, no store forwarding. The widths are
a bracket: V2 dispatches up to 8 instructions and 16 micro-operations a cycle, and LLVM's own model says 6.
"""

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

QEMU = "qemu-aarch64"
OBJECTS = "llvm-nm-19"
DISASSEMBLER = "llvm-mc-19"
SCHEDULER = "llvm-mca-19"
QEMU_CPU = "max,sve128=on,sve256=off,sve512=off"  # Neoverse V2's vector length
SCHEDULED_CPU = ["-mtriple=aarch64", "-mcpu=neoverse-v2", "-mattr=+bf16,+i8mm,+sve2,+fullfp16"]
WIDTHS = (16, 8, 6)
BLOCK_LIMIT = 2_000_000
STUB = "(through a linker's stub)"  # memcpy and its like, chosen at start
_WORD_BYTES = 4
_DIRECT = re.compile(r"(bl?)\s+#(-?\d+)$")


class ModelError(Exception):
    """The figure asked for cannot be had."""


@dataclass(frozen=True)
class Symbol:
    name: str
    begin: int
    end: int

    def __contains__(self, address: int) -> bool:
        return self.begin <= address < self.end


@dataclass(frozen=True)
class Block:
    address: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Modelled:
    """What the traced functions took, in all their calls together."""

    symbols: list[str]
    instructions: int
    cycles: dict[int, int]  # by dispatch width
    calls_outside: dict[str, int]  # callees that ran and are not in the figures


def output_of(command: list[str], stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ModelError(f"{command[0]}: exit status {done.returncode}\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def functions_of(program: Path) -> list[Symbol]:
    """Every function with its size, names demangled."""
    functions = []
    for line in output_of([OBJECTS, "--print-size", "--demangle", "--defined-only", str(program)]).splitlines():
        field = line.split(maxsplit=3)
        if len(field) == 4 and field[2] in "tTwW":
            begin = int(field[0], 16)
            functions.append(Symbol(field[3], begin, begin + int(field[1], 16)))
    return functions


def trace(plugin: Path, program: Path, arguments: list[str], symbols: list[Symbol]) -> list[Block]:
    """The blocks of the symbols that ran, in order."""
    ranges = ",".join(f"range={symbol.begin:#x}-{symbol.end:#x}" for symbol in symbols)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "trace")
        loaded = f"{plugin},out={out},limit={BLOCK_LIMIT},{ranges}"
        output_of([QEMU, "-cpu", QEMU_CPU, "-plugin", loaded, str(program), *arguments])
        lines = out.read_text().splitlines()
    (ran,) = read_sections(lines, program.name)
    return ran


def read_sections(lines: list[str], program: str) -> list[list[Block]]:
    """What the plugin wrote: the blocks of each section, in order."""
    if lines[-1] != "complete":
        raise ModelError(f"{program}: more than {BLOCK_LIMIT} blocks ran. Make the shape smaller.")
    blocks = []
    sections = []
    for line in lines[:-1]:
        kind, *words = line.split()
        if kind == "block":
            blocks.append(Block(int(words[0], 16), tuple(words[1:])))
        else:
            sections.append([blocks[int(number)] for number in words])
    return sections


def disassemble(words: set[str]) -> dict[str, str]:
    ordered = sorted(words)
    as_bytes = "\n".join(" ".join(f"0x{byte:02x}" for byte in reversed(bytes.fromhex(word))) for word in ordered)
    printed = output_of([DISASSEMBLER, "-disassemble", "-triple=aarch64", "-mattr=+all"], as_bytes + "\n")
    text = [line.strip() for line in printed.splitlines() if line.strip() and not line.strip().startswith(".")]
    if len(text) != len(ordered):
        raise ModelError(f"{DISASSEMBLER}: {len(ordered)} different instructions, got {len(text)} lines for them")
    return dict(zip(ordered, text, strict=True))


def calls_outside(
    ran: list[Block], text: dict[str, str], traced: list[Symbol], functions: list[Symbol]
) -> dict[str, int]:
    """How often each function that is not traced was called, or reached by a tail call."""
    counts: Counter[str] = Counter()
    for block, times in Counter(ran).items():
        for index, word in enumerate(block.words):
            if text[word].startswith("blr"):
                counts["(indirect)"] += times
            jump = _DIRECT.match(" ".join(text[word].split()))
            if jump is None:
                continue
            target = block.address + index * _WORD_BYTES + int(jump[2])
            if not any(target in symbol for symbol in traced):
                counts[next((f.name for f in functions if target in f), STUB)] += times
    return dict(counts)


def scheduled_cycles(assembly: str, width: int) -> int:
    # By default llvm-mca takes 100 cycles for a call, a guess at the callee: ours are in the trace, or not counted.
    options = ["-iterations=1", f"-dispatch={width}", "-call-latency=1"]
    options += ["-instruction-info=false", "-resource-pressure=false"]
    # Of atomic additions, which libraries count calls with, it knows no cycles: they take none.
    options += ["-skip-unsupported-instructions=lack-sched"]
    report = output_of([SCHEDULER, *SCHEDULED_CPU, *options], assembly)
    found = re.search(r"^Total Cycles:\s+(\d+)", report, re.MULTILINE)
    if found is None:
        raise ModelError(f"{SCHEDULER}: no total in its report:\n{report[:500]}")
    return int(found[1])


def model(plugin: Path, program: Path, arguments: list[str], patterns: list[str]) -> Modelled:
    """Model all functions whose demangled name one of the patterns finds, as they run in this call of the program."""
    functions = functions_of(program)
    symbols = [f for f in functions if any(re.search(pattern, f.name) for pattern in patterns)]
    if not symbols:
        raise ModelError(f"{program.name}: no function is named {' or '.join(patterns)} (inlined?)")
    ran = trace(plugin, program, arguments, symbols)
    if not ran:
        raise ModelError(f"{program.name}: {', '.join(s.name for s in symbols)} never ran")
    return schedule(ran, symbols, functions)


def schedule(ran: list[Block], symbols: list[Symbol], functions: list[Symbol]) -> Modelled:
    """Schedule blocks, all of which belong to `symbols`, as one straight line."""
    text = disassemble({word for block in set(ran) for word in block.words})
    lines = [text[word] for block in ran for word in block.words]
    assembly = "\n".join(lines) + "\n"
    return Modelled(
        symbols=[s.name for s in symbols if any(block.address in s for block in set(ran))],
        instructions=len(lines),
        cycles={width: scheduled_cycles(assembly, width) for width in WIDTHS},
        calls_outside=calls_outside(ran, text, symbols, functions),
    )
