"""Prove by use that an engine environment does what it was compiled for: print the Findings of a ProveOrder.

Run by the environment's own Python. It reports and does not judge: build.engine.proofs does.
"""

import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from agent.protocol import Failure, Findings, KernelNames, ProveOrder, Selftest, SmallModels, TorchBuild

Found = TypeVar("Found")
TIMEOUT_S = 1800
# getauxval(3) and Linux's arch/arm64/include/uapi/asm/hwcap.h.
AT_HWCAP2, HWCAP2_BITS = 26, {"sve2": 1, "i8mm": 13, "bf16": 14}
MMLA_KERNEL = re.compile(rb"sve_[a-z0-9_]*bf16fp32_mmla[a-z0-9_]*")
TAIL_LINES = 15

# Each runs in a process of its own: what it loads, and dies of, is then its alone.
MATMUL = """
import torch
from vllm.platforms import current_platform
current_platform.import_kernels()
from vllm import _custom_ops as ops
x, weight = torch.randn(16, 64).bfloat16(), torch.randn(64, 48).bfloat16()
got = ops.onednn_mm(ops.create_onednn_mm(weight, 32), x, None).double()
wanted = x.double() @ weight.double()
assert ((got - wanted).abs() <= 2.0**-6 * (wanted.abs() + 8)).all(), "the product is wrong"
"""
OPENMP = """
import importlib.util, platform, torch
torch.set_num_threads(2)
torch.randn(512, 512) @ torch.randn(512, 512)
torch.randn(1 << 20).exp()
if importlib.util.find_spec("axion_kernels"):
    from axion_kernels import operators
    operators.load()
    torch.ops.axion.softmax(torch.randn(256, 4096), 1.0)
if platform.machine() != "x86_64":  # there vLLM brings Intel's runtime with it
    from vllm.platforms import current_platform
    current_platform.import_kernels()
files = {line.split()[-1] for line in open("/proc/self/maps") if "/" in line}
import json, re
print(json.dumps(sorted(f for f in files if re.search(r"/lib(gomp|omp|iomp5)[-.]", f))))
"""


def python(*words: str, **env: str) -> str:
    """Run Python in the environment and return what it printed. Raises RuntimeError with the end of its words."""
    done = subprocess.run(
        [sys.executable, "-I", *words],
        capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False,
        stdin=subprocess.DEVNULL, env={**os.environ, **env},
    )  # fmt: skip
    if done.returncode:
        # vLLM logs to stdout, and what it died of is on stderr: that has to be the end.
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no word"]
        raise RuntimeError(f"exit status {done.returncode}: {lines[-1]}\n" + "\n".join(lines[-TAIL_LINES:]))
    return done.stdout


def last_json(printed: str) -> Any:
    """The last line that is JSON: libraries write what they like before and after."""
    lines = [line for line in printed.splitlines() if line[:1] in ("{", "[")]
    return json.loads(lines[-1])


def features() -> dict[str, bool]:
    """What the kernel says that the processor can do; nothing where it says it otherwise."""
    if platform.machine() != "aarch64":
        return {}
    libc = ctypes.CDLL(None)
    libc.getauxval.restype, libc.getauxval.argtypes = ctypes.c_ulong, (ctypes.c_ulong,)
    bits = libc.getauxval(AT_HWCAP2)
    return {name: bool(bits >> bit & 1) for name, bit in HWCAP2_BITS.items()}


def torch_build() -> TorchBuild:
    code = (
        "import json, torch; "
        "print(json.dumps({'version': torch.__version__, 'cuda': torch.version.cuda, 'hip': torch.version.hip}))"
    )
    return TorchBuild(**last_json(python("-c", code)))


def acl_probe() -> bool:
    code = (
        "from vllm.platforms import current_platform; current_platform.import_kernels(); "
        "import json, torch; print(json.dumps([bool(torch.ops._C.is_onednn_acl_supported())]))"
    )
    return bool(last_json(python("-c", code))[0])


def matmul_implementations() -> tuple[str, ...]:
    """The names that oneDNN gives to what it ran for a bfloat16 product of vLLM's."""
    printed = python("-c", MATMUL, ONEDNN_VERBOSE="1")
    found = (line.split(",") for line in printed.splitlines() if line.startswith("onednn_verbose"))
    # onednn_verbose,v1,primitive,exec,cpu,matmul,<implementation>,...: counted from "exec", for versions add columns.
    runs = ((line, line.index("exec")) for line in found if "exec" in line and "matmul" in line)
    return tuple(sorted({line[at + 3] for line, at in runs if len(line) > at + 3 and line[at + 2] == "matmul"}))


def symbols() -> dict[str, KernelNames]:
    """Names inside vLLM's compiled files. No binutils: a name is a run of bytes."""
    code = "import json, pathlib, vllm; print(json.dumps([str(pathlib.Path(vllm.__file__).parent)]))"
    (package,) = last_json(python("-c", code))
    files = {path.name: path.read_bytes() for path in sorted(Path(package).glob("_C*.so"))}
    return {
        name: KernelNames(
            acl_matmul_t=data.count(b"acl_matmul_t"),
            mmla=tuple(sorted({match.decode() for match in MMLA_KERNEL.findall(data)})[:5]),
        )
        for name, data in files.items()
    }


def selftest() -> Selftest:
    """The operators' own test; it exits with 1 when one is wrong, and still says which."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "axion_kernels.selftest"],
        capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return Selftest(**last_json(done.stdout))
    except (IndexError, ValueError):
        raise RuntimeError(f"exit status {done.returncode}\n{done.stderr[-1500:]}") from None


def openmp() -> tuple[str, ...]:
    return tuple(last_json(python("-c", OPENMP)))


def answers(scratch: Path, what: str, *kinds: str) -> SmallModels:
    """What vLLM makes of small models of these kinds."""
    program = str(scratch / "small_model.py")
    printed = python(program, str(scratch), what, *kinds, VLLM_CPU_OMP_THREADS_BIND="nobind")
    return SmallModels.from_data(last_json(printed))


def attempt(what: Callable[[], Found]) -> Found | Failure:
    try:
        return what()
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}")


def main() -> None:
    order = ProveOrder.from_json(sys.argv[1])
    scratch = Path(order.scratch)
    # Engines that serve keep their cores busy; a proof that takes all of them would be felt by every user.
    os.nice(5)
    findings: Mapping[str, Callable[[], Any]] = {
        "features": features,
        "torch_build": torch_build,
        "acl_probe": acl_probe,
        "matmul": matmul_implementations,
        "symbols": symbols,
        "openmp": openmp,
        "selftest": selftest,
        "engine": lambda: answers(scratch, "text", "awq").text["awq"],
        "pictures": lambda: answers(scratch, "pictures", *order.pictures).pictures,
    }
    told = Findings(**{name: attempt(findings[name]) for name in order.findings})
    shutil.rmtree(scratch, ignore_errors=True)
    print(told.to_json())
