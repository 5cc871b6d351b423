"""Ask an engine environment what it is, and print the answer, an EnvironmentLook, on the last line.

Run by the environment's own Python. It reports and does not judge: judge_proofs of build/engine/seal.py does.
"""

import contextlib
import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agent.protocol import EnvironmentLook, Failure, LoadedKernels

COMMAND_TIMEOUT_S = 1500
Found = TypeVar("Found")


def packages() -> dict[str, str]:
    found = ((dist.metadata["Name"], dist.version) for dist in importlib.metadata.distributions())
    return {name: version for name, version in sorted(found, key=lambda pair: pair[0].lower()) if name}


def loaded_extension() -> str | None:
    """The file name of vLLM's compiled kernels in this process: on x86 there is one per instruction set."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            name = Path(line.split(maxsplit=5)[-1]).name
            if name.startswith("_C") and "/vllm/" in line:
                return name
    return None


def kernels() -> LoadedKernels:
    """Load the kernels the way an engine does.

    Not `import vllm._C`: on x86 the platform picks the file that fits the processor, and importing another one
    may die of an illegal instruction.
    """
    torch = importlib.import_module("torch")
    current_platform = importlib.import_module("vllm.platforms").current_platform
    current_platform.import_kernels()
    operators = sorted(name for name in torch._C._dispatch_get_all_op_names() if name.startswith("_C::"))
    return LoadedKernels(current_platform.device_type, loaded_extension(), tuple(operators))


def attempt(what: Callable[[], Found]) -> Found | Failure:
    """The value, or the error that stands in its place."""
    try:
        return what()
    except BaseException as error:  # an import may exit the process, which is a finding as well
        return Failure(f"{type(error).__name__}: {error}")


def main() -> int:
    program = Path(sys.executable).with_name("vllm")
    # vLLM logs to stdout while it is imported; the answer must stand alone there.
    real_stdout = os.dup(1)
    os.dup2(2, 1)
    words = [str(program), "--version"]
    command = attempt(lambda: subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
    found = attempt(kernels)  # while that one starts
    answer = EnvironmentLook(
        machine=platform.machine(),
        python=platform.python_version(),
        packages=packages(),
        kernels=found,
        command_version=command if isinstance(command, Failure) else attempt(lambda: last_line(command)),
    )
    with os.fdopen(real_stdout, "w", encoding="utf-8") as output:
        output.write(answer.to_json() + "\n")
    return 0


def last_line(command: "subprocess.Popen[str]") -> str:
    try:
        printed, _ = command.communicate(timeout=COMMAND_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        command.kill()
        raise
    lines = printed.split("\n")
    if command.returncode:
        raise RuntimeError(f"exit status {command.returncode}")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
