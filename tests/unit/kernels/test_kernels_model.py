"""The modelled benchmark's own code: what it reads, how it judges, what its table says. No tool is run."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernels.model.case import Case, Record, Result, Results, read_cases
from kernels.model.gate import regressions
from kernels.model.model import ModelError, Modelled
from kernels.model.report import markdown

REPOSITORY = Path(__file__).parents[3]
KERNELS = REPOSITORY / "kernels"

GEMM = Record(
    program=["p"],
    functions=["gemm"],
    calls_outside={},
    instructions=1000,
    cycles_d16=90,
    cycles_d8=100,
    cycles_d6=130,
    figure=64.0,
    figure_kind="per_cycle",
    unit="MAC",
    share_of_ideal=None,
    at_least=None,
    at_most=None,
    verdict="",
)
TOOLS = {"qemu-aarch64": "7.2.22", "clang++-19": "19.1.7", "llvm-mca-19": "19.1.7"}
BASELINE = Results(tools=TOOLS, cases={"gemm": GEMM})


def changed(figures: Mapping[str, int], tools: Mapping[str, str] | None = None) -> Results:
    gemm = Record(**{**vars(GEMM), **figures})
    return Results(tools={**TOOLS, **(tools or {})}, cases={"gemm": gemm})


@pytest.mark.parametrize(
    ("figures", "refused"),
    [
        ({}, []),
        ({"instructions": 1020}, []),
        ({"instructions": 1021}, ["gemm: instructions at most 1000 + 2%, got 1021"]),
        ({"cycles_d8": 105}, []),
        ({"cycles_d8": 106}, ["gemm: cycles_d8 at most 100 + 5%, got 106"]),
        ({"instructions": 900, "cycles_d8": 50}, []),
        ({"cycles_d16": 900, "cycles_d6": 900}, []),
        (
            {"instructions": 1030, "cycles_d8": 110},
            ["gemm: instructions at most 1000 + 2%, got 1030", "gemm: cycles_d8 at most 100 + 5%, got 110"],
        ),
    ],
)
def test_only_instructions_and_the_gated_width_have_a_limit(figures: dict[str, int], refused: list[str]) -> None:
    assert regressions(BASELINE, changed(figures), whole=True) == refused


@pytest.mark.parametrize("tool", ["clang++-19", "llvm-mca-19"])
def test_figures_of_another_compiler_or_scheduler_are_not_compared(tool: str) -> None:
    document = changed({"instructions": 9000, "cycles_d8": 900}, {tool: "19.1.8"})
    assert regressions(BASELINE, document, whole=True) == [
        f"tools: those that the baseline was made with, got {tool} 19.1.8, not 19.1.7. "
        "Install the baseline's, or write a new baseline with --write where only the tools changed."
    ]


def test_the_version_of_the_emulator_does_not_matter() -> None:
    document = changed({"instructions": 1021}, {"qemu-aarch64": "9.2.0"})
    assert regressions(BASELINE, document, whole=True) == ["gemm: instructions at most 1000 + 2%, got 1021"]


def test_cases_that_came_or_went_are_refused_but_not_when_only_some_were_run() -> None:
    document = replace(BASELINE, cases={"gemv": GEMM})
    assert regressions(BASELINE, document, whole=True) == [
        "gemv: not in the baseline. Write a new one with --write.",
        "gemm: in the baseline, but no longer a case",
    ]
    assert regressions(BASELINE, replace(BASELINE, cases={}), whole=False) == []


def result(case: Case, instructions: int, cycles: tuple[int, int, int], calls: dict[str, int] | None = None) -> Result:
    return Result(case, Modelled([case.name], instructions, dict(zip((16, 8, 6), cycles, strict=True)), calls or {}))


def a_case(name: str, **fields: Any) -> Case:
    given = {"figure": "per_cycle", "unit": "MAC", "work": 6400, **fields}
    return Case(name=name, program="p", arguments=[], symbols=[name], **given)


def test_the_table_states_figures_bars_and_factors() -> None:
    plain = a_case("plain", figure="cycles_per_unit", unit="element", work=1000)
    fast = a_case("fast", figure="cycles_per_unit", unit="element", work=2000, at_most=1.25, plain="plain")
    gemm = a_case("gemm", ideal_cycles=100, at_least=58.88)
    norm = a_case("norm", figure="cycles", unit="", work=4096, at_most=1450)
    results = [
        result(plain, 9000, (5000, 5000, 5001)),
        result(fast, 8000, (2400, 2500, 2600), {"memcpy": 2}),
        result(gemm, 700, (110, 125, 130)),
        result(norm, 6000, (1400, 1451, 1500)),
    ]
    assert markdown(results).splitlines()[4:] == [
        "| plain | 9000 | 5000 | 5000 | 5001 | 5 cycles/element |  |  |  |  |",
        "| fast ¹ | 8000 | 2400 | 2500 | 2600 | 1.25 cycles/element |  | ≤ 1.25 | pass | 4.0 x |",
        "| gemm | 700 | 110 | 125 | 130 | 51.20 MAC/cycle | 80.0% | ≥ 58.88 | worse |  |",
        "| norm | 6000 | 1400 | 1451 | 1500 | 1451 cycles |  | ≤ 1450 | worse |  |",
        "",
        "¹ calls functions that are not in the figures (named in bench.json as calls_outside).",
    ]


def test_the_table_says_that_nothing_was_measured() -> None:
    assert "Modelled, not measured" in markdown([]).splitlines()[0]


def test_a_result_for_programs_holds_every_width_and_the_verdict() -> None:
    written = result(a_case("gemm", ideal_cycles=100, at_least=51.2), 700, (110, 125, 130), {"memcpy": 2}).record()
    assert (written.instructions, written.cycles_d16, written.cycles_d8, written.cycles_d6) == (700, 110, 125, 130)
    assert (written.figure, written.share_of_ideal, written.verdict) == (51.2, 0.8, "pass")
    assert written.calls_outside == {"memcpy": 2}


def test_the_baseline_is_read_and_written_as_it_stands() -> None:
    path = KERNELS / "bench" / "baseline.json"
    assert Results.read(path).to_json() == path.read_text()


CASE = """
[[case]]
name = "one"
program = "p"
arguments = ["1"]
symbols = ['f']
figure = "per_cycle"
unit = "MAC"
work = 64
at_least = 14.0
"""


def test_bars_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(CASE + CASE.replace('"one"', '"two"').replace("at_least = 14.0", 'at_most = 0.85\nplain = "one"'))
    one, two = read_cases(path)
    assert (one.at_least, one.at_most, one.plain) == (14.0, None, None)
    assert (two.at_least, two.at_most, two.plain) == (None, 0.85, "one")


def test_every_mistake_in_the_list_of_cases_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(CASE + CASE.replace("work = 64", 'plain = "three"\nat_last = 3').replace("per_cycle", "per_second"))
    with pytest.raises(ModelError) as error:
        read_cases(path)
    assert str(error.value).splitlines() == [
        "cases.toml: one.at_last: one of name, program, arguments, symbols, figure, unit, work, ideal_cycles, "
        "at_least, at_most, plain, got at_last. Remove it.",
        "cases.toml: one.work: a value, got nothing. Add it.",
        "cases.toml: one.figure: one of per_cycle, cycles_per_unit, cycles, got 'per_second'. Correct it.",
        "cases.toml: one: a name of its own, got it 2 times. Rename one.",
        "cases.toml: one.plain: the name of a case, got 'three'. Correct it.",
    ]


def test_the_cases_that_are_run_name_programs_that_exist() -> None:
    programs = {case.program for case in read_cases(KERNELS / "bench/cases.toml")}
    assert {name for name in programs if not (KERNELS / f"bench/{name}.cpp").is_file()} == set()


def test_the_baseline_says_with_which_tools_it_was_made() -> None:
    tools = json.loads((KERNELS / "bench/baseline.json").read_text())["tools"]
    assert set(tools) == {"qemu-aarch64", "clang++-19", "llvm-mca-19"}


@pytest.fixture
def bare_machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who is not root, where the shell is all that is installed."""
    for program in ("bash", "grep"):
        (tmp_path / program).symlink_to(Path("/bin") / program)
    for program, text in {"dpkg-query": "exit 1", "id": "echo 1000"}.items():
        (tmp_path / program).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / program).chmod(0o755)
    return {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}


def test_missing_tools_are_named_with_the_command_that_installs_them(bare_machine: dict[str, str]) -> None:
    command = [sys.executable, "-m", "kernels.model.bench"]
    done = subprocess.run(command, env=bare_machine, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "bench-kernels: packages: missing, and no right to install them. Run: sudo apt-get install "
        "clang-19 cmake g++-12-aarch64-linux-gnu gcc lld-19 llvm-19 ninja-build qemu-user"
    )


def test_root_gets_what_is_missing_and_nothing_else(tmp_path: Path, bare_machine: dict[str, str]) -> None:
    (tmp_path / "dpkg-query").write_text('#!/bin/bash\n[ "${*: -1}" = cmake ] && echo "install ok installed"\n')
    (tmp_path / "id").write_text("#!/bin/bash\necho 0\n")
    (tmp_path / "apt-get").write_text(f'#!/bin/bash\necho "$@" >>{tmp_path}/asked\n')
    (tmp_path / "apt-get").chmod(0o755)
    command = ["bash", str(KERNELS / "packages.sh"), "cmake", "lld-19"]
    subprocess.run(command, env=bare_machine, check=True, timeout=60)
    assert (tmp_path / "asked").read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends lld-19",
    ]
