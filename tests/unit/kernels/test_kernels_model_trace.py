"""What the model counts and schedules, on hand-written loops whose figures are known without it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kernels.model import model as modelled
from kernels.model.build import PACKAGES, tool_versions
from kernels.model.model import ModelError, Modelled, model

pytestmark = pytest.mark.kernels

KERNELS = Path(__file__).parents[3] / "kernels"


def function(name: str, *lines: str) -> str:
    body = "\n".join(f"  {line}" for line in lines)
    return f".type {name}, %function\n{name}:\n{body}\n.size {name}, . - {name}\n"


def loop(name: str, times: int, *lines: str) -> str:
    """1 + times * (lines + 2) + 1 instructions."""
    return function(name, f"mov x0, #{times}", "1:", *lines, "subs x0, x0, #1", "b.ne 1b", "ret")


FMUL = tuple(f"fmul v{i}.4s, v16.4s, v17.4s" for i in range(4))
ADD = tuple(f"add x{i}, x20, x21" for i in range(1, 5))
LOAD = ("ldr x5, [sp]", "ldr x6, [sp]")
SKIPPED = ("tbz x0, #0, 2f", "nop", "nop", "nop", "2:")

FUNCTIONS = (
    loop("accumulates", 100, "fmla v0.4s, v1.4s, v2.4s"),
    loop("multiplies_on", 100, "fmla v0.4s, v0.4s, v2.4s"),
    loop("wide", 100, *FMUL, *ADD, *LOAD),
    loop("skips", 10, *SKIPPED),
    function("leaf", "ret"),
    function(
        "calls", "mov x9, x30", "bl leaf", "bl leaf", "bl leaf", "adr x10, leaf", "blr x10", "mov x30, x9", "b leaf"
    ),
    function("never_runs", "ret"),
    function(
        "_start", *(f"bl {name}" for name in ("accumulates", "multiplies_on", "wide", "skips", "calls")),
        "mov x0, #0", "mov x8, #93", "svc #0",
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program and the plugin."""
    missing = [program for program in PACKAGES if shutil.which(program) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)}: not found, got none. Run `make bench-kernels`, which installs them.")
    made = tmp_path_factory.mktemp("model")
    (made / "loops.s").write_text(".globl _start\n" + "".join(FUNCTIONS))
    target = ["--target=aarch64-linux-gnu", "-fuse-ld=lld-19", "-nostdlib", "-static"]
    for command in (
        ["clang-19", *target, "loops.s", "-o", "loops"],
        ["cc", "-shared", "-fPIC", "-O2", str(KERNELS / "model/trace.c"), "-o", "libtrace.so"],
    ):
        subprocess.run(command, cwd=made, check=True, timeout=120)
    return made


def modelled_loops(folder: Path, *symbols: str) -> Modelled:
    return model(folder / "libtrace.so", folder / "loops", [], [f"^{symbol}$" for symbol in symbols])


def within(start_and_end: int, cycles: dict[int, int], at_least: dict[int, int]) -> bool:
    """A few cycles to fill and drain the pipeline are the model's own business."""
    return all(least <= cycles[width] <= least + start_and_end for width, least in at_least.items())


def test_a_chain_of_sums_waits_two_cycles_for_each_and_a_chain_of_products_four(folder: Path) -> None:
    """The optimization guide: FMLA has latency 4, 2 where it only adds to the result of another FMLA."""
    sums, products = modelled_loops(folder, "accumulates"), modelled_loops(folder, "multiplies_on")
    assert (sums.instructions, products.instructions) == (302, 302)
    assert within(10, sums.cycles, {16: 200, 8: 200, 6: 200})
    assert within(10, products.cycles, {16: 400, 8: 400, 6: 400})


def test_work_for_many_pipes_is_bound_by_the_width_of_dispatch(folder: Path) -> None:
    """12 instructions a turn, on pipes that could take them all in one cycle."""
    result = modelled_loops(folder, "wide")
    assert result.instructions == 1202
    assert within(10, result.cycles, {16: 100, 8: 150, 6: 200})


def test_only_the_side_of_a_branch_that_ran_is_counted(folder: Path) -> None:
    assert modelled_loops(folder, "skips").instructions == 1 + 5 * 6 + 5 * 3 + 1


def test_a_call_is_named_when_its_callee_is_not_traced_and_costs_no_more_than_a_branch(folder: Path) -> None:
    alone, both = modelled_loops(folder, "calls"), modelled_loops(folder, "calls", "leaf")
    assert (alone.instructions, alone.calls_outside) == (8, {"leaf": 4, "(indirect)": 1})
    assert (both.instructions, both.calls_outside) == (13, {"(indirect)": 1})
    assert set(both.symbols) == {"leaf", "calls"}
    assert max(alone.cycles.values()) < 12, "llvm-mca guesses 100 cycles a call when it is not told"


def test_the_same_program_gives_the_same_figures(folder: Path) -> None:
    assert modelled_loops(folder, "wide") == modelled_loops(folder, "wide")


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        ("gone", "loops: no function is named ^gone$ (inlined?)"),
        ("never_runs", "loops: never_runs never ran"),
    ],
)
def test_a_function_that_is_not_there_or_did_not_run_has_no_figure(folder: Path, symbol: str, message: str) -> None:
    with pytest.raises(ModelError) as error:
        modelled_loops(folder, symbol)
    assert str(error.value) == message


def test_a_trace_that_was_cut_off_has_no_figure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelled, "BLOCK_LIMIT", 50)
    with pytest.raises(ModelError, match="more than 50 blocks ran"):
        modelled_loops(folder, "accumulates")


def test_a_program_that_fails_has_no_figure(folder: Path) -> None:
    (folder / "fails.s").write_text(".globl _start\n" + function("_start", "mov x0, #3", "mov x8, #93", "svc #0"))
    target = ["--target=aarch64-linux-gnu", "-fuse-ld=lld-19", "-nostdlib", "-static"]
    subprocess.run(["clang-19", *target, "fails.s", "-o", "fails"], cwd=folder, check=True, timeout=120)
    with pytest.raises(ModelError, match="qemu-aarch64: exit status 3"):
        model(folder / "libtrace.so", folder / "fails", [], ["_start"])


def test_what_a_program_marks_is_a_section_and_nothing_else_is(folder: Path) -> None:
    """A mark is a system call that no kernel has; the one that ends a section belongs to it."""
    begin, end = ("mov x0, #1", "svc #0"), ("mov x0, #0", "svc #0")
    number = ("movz x8, #0x726b", "movk x8, #0x6d61, lsl #16")
    work = function("work", "nop", "nop", "ret")
    lines = ("bl work", *number, *begin, "bl work", *end, "bl work", *begin, "nop", *end, *begin, *end)
    (folder / "marks.s").write_text(
        ".globl _start\n" + work + function("_start", *lines, "mov x0, #0", "mov x8, #93", "svc #0")
    )
    target = ["--target=aarch64-linux-gnu", "-fuse-ld=lld-19", "-nostdlib", "-static"]
    subprocess.run(["clang-19", *target, "marks.s", "-o", "marks"], cwd=folder, check=True, timeout=120)
    loaded = f"{folder / 'libtrace.so'},out={folder / 'trace'},marked=on"
    command = [modelled.QEMU, "-cpu", modelled.QEMU_CPU, "-plugin", loaded, str(folder / "marks")]
    subprocess.run(command, check=True, timeout=60)
    sections = modelled.read_sections((folder / "trace").read_text().splitlines(), "marks")
    assert [sum(len(block.words) for block in section) for section in sections] == [1 + 3 + 2, 1 + 2, 2]


def test_tools_say_their_versions() -> None:
    assert {name: version.count(".") for name, version in tool_versions().items()} == {
        "qemu-aarch64": 2, "clang++-19": 2, "llvm-mca-19": 2,
    }  # fmt: skip
