"""A private copy of the kernels' sources, built and tested over and over with one edit in it."""

import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernels.model.model import QEMU, QEMU_CPU
from kernels.mutation.mutant import Mutant, MutationError, suites_of

COPIED = ("CMakeLists.txt", "cmake", "include", "src", "test")
BUILD_LIMIT_S = 1800.0
TARGET_OF = {"portable": "native", "neon": "axion", "sve2": "axion"}


@dataclass(frozen=True)
class Outcome:
    """What a run of tests said. `failed` names the first test that did not pass, and how; empty when all did."""

    failed: str
    ran: int
    seconds: float


@dataclass(frozen=True)
class Tree:
    """The sources for one target, `native` or `axion`, in out/source, and what was built from them in out/build."""

    kernels: Path
    out: Path
    target: str

    @property
    def source(self) -> Path:
        return self.out / "source"

    def copy(self) -> None:
        """Take over what changed since the last time."""
        mirror(self.kernels, self.source)

    def prepare(self, family: str) -> None:
        """Configure this family and build its tests."""
        options = ["-DCMAKE_BUILD_TYPE=Release", f"-DAXION_ONLY={family if family != 'types' else 'types|norm'}"]
        # A line that a mutant leaves out may be the only use of a variable.
        options.append("-DAXION_STRICT=OFF")
        if self.target == "axion":
            options.append(f"-DCMAKE_TOOLCHAIN_FILE={self.source}/cmake/aarch64-clang.cmake")
        command = ["cmake", "-S", str(self.source), "-B", str(self.out / "build"), "-G", "Ninja", *options]
        self._made(command)
        self.build()

    @contextmanager
    def unchanged_in_the_end(self, files: set[str]) -> Iterator[None]:
        """Let what was built before the edits of these files count as built after them."""
        times = {name: (self.source / name).stat().st_mtime_ns for name in files}
        yield
        self.build()
        for name, time_ns in times.items():
            os.utime(self.source / name, ns=(time_ns, time_ns))

    def build(self) -> None:
        self._made(["cmake", "--build", str(self.out / "build"), "--target", "axion_tests"])

    def _made(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S)
        if done.returncode != 0:
            raise MutationError(f"{' '.join(command[:3])}: status 0, got {done.returncode}\n{done.stdout[-3000:]}")

    @contextmanager
    def edited(self, mutant: Mutant) -> Iterator[None]:
        """Make the edit, and undo it in the end."""
        path = self.source / mutant.file
        text = path.read_text()
        path.write_text(text.replace(mutant.old, mutant.new))
        try:
            yield
        finally:
            path.write_text(text)

    def test(self, family: str, isa: str, limit_s: float) -> Outcome:
        """Run a family's tests of one ISA up to the first that fails."""
        suites, plain = suites_of(self.source, family)
        chosen = [f"*/{suite}.*/{isa}" for suite in sorted(suites)] + [f"{suite}.*" for suite in sorted(plain)]
        emulator = [QEMU, "-cpu", QEMU_CPU] if self.target == "axion" else []
        program = str(self.out / "build" / "axion_tests")
        command = [*emulator, program, "--gtest_fail_fast", "--gtest_color=no", f"--gtest_filter={':'.join(chosen)}"]
        began = time.monotonic()
        log = self.out / "tests.log"
        with log.open("w") as output:
            try:
                status = subprocess.run(
                    command, stdout=output, stderr=subprocess.STDOUT, check=False, timeout=limit_s, preexec_fn=_no_core
                ).returncode
            except subprocess.TimeoutExpired:
                status = None
        text = log.read_text(errors="replace")
        return Outcome(first_failure(text, status, limit_s), len(RUN.findall(text)), time.monotonic() - began)


RUN = re.compile(r"^\[ RUN      \] (\S+)", re.MULTILINE)
FAILED = re.compile(r"^\[  FAILED  \] ([^\s,]+)", re.MULTILINE)


def first_failure(text: str, status: int | None, limit_s: float) -> str:
    """From what GoogleTest printed and the exit status, None for a program that did not end."""
    failed = FAILED.search(text)
    if failed is not None:
        return failed[1]
    running = RUN.findall(text)
    last = running[-1] if running else "the start"
    if status is None:
        return f"{last}, not done in {limit_s:.0f} s"
    if status != 0:
        return f"{last}, ended by {f'signal {-status}' if status < 0 else f'status {status}'}"
    return "" if running else "no test ran"


def mirror(kernels: Path, copy: Path) -> None:
    """Make the copied parts equal, touching only what differs, so that ninja builds no more than that."""
    wanted = {
        path.relative_to(kernels)
        for name in COPIED
        for path in [kernels / name, *(kernels / name).rglob("*")]
        if path.is_file()
    }
    for path in [found for found in copy.rglob("*") if found.is_file()]:
        if path.relative_to(copy) not in wanted:
            path.unlink()
    for name in wanted:
        if not (copy / name).is_file() or (copy / name).read_bytes() != (kernels / name).read_bytes():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kernels / name, copy / name)


def _no_core() -> None:
    """Mutants crash; their memory is of no use."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
