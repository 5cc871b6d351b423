"""Prove by use that an engine environment does what it was compiled for; print the findings as one JSON object.

Run by the environment's own Python. Input: {"scratch": a directory of its own, which holds small_model.py,
"findings": names, "pictures": kinds of small models to show pictures to}. It reports and does not judge:
build.engine.proofs does. Each finding is {"value": ..., "error": null} or the other way round.
"""

import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def features() -> "dict[str, bool] | None":
    """What the kernel says that the processor can do; none where it says it otherwise."""
    if platform.machine() != "aarch64":
        return None
    libc = ctypes.CDLL(None)
    libc.getauxval.restype, libc.getauxval.argtypes = ctypes.c_ulong, (ctypes.c_ulong,)
    bits = libc.getauxval(AT_HWCAP2)
    return {name: bool(bits >> bit & 1) for name, bit in HWCAP2_BITS.items()}


def torch_build() -> Any:
    code = (
        "import json, torch; "
        "print(json.dumps({'version': torch.__version__, 'cuda': torch.version.cuda, 'hip': torch.version.hip}))"
    )
    return last_json(python("-c", code))


def acl_probe() -> Any:
    code = (
        "from vllm.platforms import current_platform; current_platform.import_kernels(); "
        "import json, torch; print(json.dumps([bool(torch.ops._C.is_onednn_acl_supported())]))"
    )
    return last_json(python("-c", code))[0]


def matmul_implementations() -> "list[str]":
    """The names that oneDNN gives to what it ran for a bfloat16 product of vLLM's."""
    printed = python("-c", MATMUL, ONEDNN_VERBOSE="1")
    found = (line.split(",") for line in printed.splitlines() if line.startswith("onednn_verbose"))
    # onednn_verbose,v1,primitive,exec,cpu,matmul,<implementation>,...: counted from "exec", for versions add columns.
    runs = ((fields, fields.index("exec")) for fields in found if "exec" in fields and "matmul" in fields)
    return sorted({fields[at + 3] for fields, at in runs if len(fields) > at + 3 and fields[at + 2] == "matmul"})


def symbols() -> Any:
    """Names inside vLLM's compiled files. No binutils: a name is a run of bytes."""
    code = "import json, pathlib, vllm; print(json.dumps([str(pathlib.Path(vllm.__file__).parent)]))"
    (package,) = last_json(python("-c", code))
    files = {path.name: path.read_bytes() for path in sorted(Path(package).glob("_C*.so"))}
    return {
        name: {
            "acl_matmul_t": data.count(b"acl_matmul_t"),
            "mmla": sorted({match.decode() for match in MMLA_KERNEL.findall(data)})[:5],
        }
        for name, data in files.items()
    }


def selftest() -> Any:
    """The operators' own test; it exits with 1 when one is wrong, and still says which."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "axion_kernels.selftest"],
        capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return last_json(done.stdout)
    except (IndexError, ValueError):
        raise RuntimeError(f"exit status {done.returncode}\n{done.stderr[-1500:]}") from None


def answers(scratch: Path, what: str, *kinds: str) -> Any:
    """What vLLM makes of small models of these kinds."""
    program = str(scratch / "small_model.py")
    return last_json(python(program, str(scratch), what, *kinds, VLLM_CPU_OMP_THREADS_BIND="nobind"))


def attempt(what: Any) -> "dict[str, Any]":
    try:
        return {"value": what(), "error": None}
    except Exception as error:
        return {"value": None, "error": f"{type(error).__name__}: {error}"}


def main() -> None:
    wanted = json.loads(sys.argv[1])
    scratch = Path(wanted["scratch"])
    # Engines that serve keep their cores busy; a proof that takes all of them would be felt by every user.
    os.nice(5)
    findings = {
        "features": features,
        "torch_build": torch_build,
        "acl_probe": acl_probe,
        "matmul": matmul_implementations,
        "symbols": symbols,
        "openmp": lambda: last_json(python("-c", OPENMP)),
        "selftest": selftest,
        "engine": lambda: answers(scratch, "text", "awq")["awq"],
        "pictures": lambda: answers(scratch, "pictures", *wanted["pictures"]),
    }
    told = {name: attempt(findings[name]) for name in wanted["findings"]}
    shutil.rmtree(scratch, ignore_errors=True)
    print(json.dumps(told))
