"""Prove by use that an engine environment does what it was compiled for; print the findings as one JSON object.

Runs alone, inside the environment, over stdin. Input: {"scratch": a directory of its own}. It reports and does not
judge: build.engine.gates does. Each finding is {"value": ..., "error": null} or the other way round.
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
# Two blocks of Qwen2 in the layout of AWQ, made of random numbers: what is proven is the way through the engine.
ENGINE = """
import json, os, sys
os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
from pathlib import Path
import torch
from safetensors.torch import save_file
here = Path(sys.argv[1]) / "awq"
here.mkdir(parents=True, exist_ok=True)
hidden, inner, heads, kv, head, group, words = 128, 256, 4, 2, 32, 32, 512
make = torch.Generator().manual_seed(4711)
tensors = {}
def plain(name, *shape, scale=0.2, offset=0.0):
    tensors[name] = (torch.randn(*shape, generator=make) * scale + offset).bfloat16()
def awq(name, n, k):
    whole = (-(2**31), 2**31)
    tensors[name + ".qweight"] = torch.randint(*whole, (k, n // 8), generator=make, dtype=torch.int64).int()
    tensors[name + ".qzeros"] = torch.full((k // group, n // 8), 0x77777777, dtype=torch.int32)
    tensors[name + ".scales"] = (torch.rand(k // group, n, generator=make) * 0.02 + 0.01).half()
plain("model.embed_tokens.weight", words, hidden, scale=1.0)
plain("model.norm.weight", hidden, scale=0.01, offset=1.0)
for block in range(2):
    at = f"model.layers.{block}."
    for norm in ("input_layernorm", "post_attention_layernorm"):
        plain(at + norm + ".weight", hidden, scale=0.01, offset=1.0)
    for part, n in (("q", heads * head), ("k", kv * head), ("v", kv * head)):
        awq(at + f"self_attn.{part}_proj", n, hidden)
        plain(at + f"self_attn.{part}_proj.bias", n)
    awq(at + "self_attn.o_proj", hidden, heads * head)
    awq(at + "mlp.gate_proj", inner, hidden)
    awq(at + "mlp.up_proj", inner, hidden)
    awq(at + "mlp.down_proj", hidden, inner)
save_file(tensors, here / "model.safetensors")
(here / "config.json").write_text(json.dumps({
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16", "vocab_size": words,
    "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": 2, "num_attention_heads": heads,
    "num_key_value_heads": kv, "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "rope_theta": 10000.0,
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True,
                            "version": "gemm"}}))
from vllm import LLM, SamplingParams
llm = LLM(str(here), dtype="bfloat16", max_model_len=256, max_num_seqs=2, seed=0, enforce_eager=True,
          kv_cache_memory_bytes=32 << 20, skip_tokenizer_init=True)
asked = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=1, detokenize=False)
chosen = llm.generate([{"prompt_token_ids": [3, 141, 59, 26, 53]}], asked, use_tqdm=False)[0].outputs[0]
report = os.environ.get("AXION_KERNELS_REPORT")
print(json.dumps({"tokens": list(chosen.token_ids),
                  "logprob": chosen.cumulative_logprob,
                  "report": json.loads(Path(report).read_text()) if report and Path(report).exists() else None}))
"""


def python(code: str, *args: str, **env: str) -> str:
    """Run Python in the environment and return what it printed. Raises RuntimeError with the end of its words."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *args],
        capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False,
        stdin=subprocess.DEVNULL, env={**os.environ, **env},
    )  # fmt: skip
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines()
        raise RuntimeError(f"exit status {done.returncode}\n" + "\n".join(lines[-TAIL_LINES:]))
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
    return last_json(python(code))


def acl_probe() -> Any:
    code = (
        "from vllm.platforms import current_platform; current_platform.import_kernels(); "
        "import json, torch; print(json.dumps([bool(torch.ops._C.is_onednn_acl_supported())]))"
    )
    return last_json(python(code))[0]


def matmul_implementations() -> "list[str]":
    """The names that oneDNN gives to what it ran for a bfloat16 product of vLLM's."""
    printed = python(MATMUL, ONEDNN_VERBOSE="1")
    found = (line.split(",") for line in printed.splitlines() if line.startswith("onednn_verbose"))
    # onednn_verbose,v1,primitive,exec,cpu,matmul,<implementation>,...: counted from "exec", for versions add columns.
    runs = ((fields, fields.index("exec")) for fields in found if "exec" in fields and "matmul" in fields)
    return sorted({fields[at + 3] for fields, at in runs if len(fields) > at + 3 and fields[at + 2] == "matmul"})


def symbols() -> Any:
    """Names inside vLLM's compiled files. No binutils: a name is a run of bytes."""
    code = "import json, pathlib, vllm; print(json.dumps([str(pathlib.Path(vllm.__file__).parent)]))"
    (package,) = last_json(python(code))
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


def attempt(what: Any) -> "dict[str, Any]":
    try:
        return {"value": what(), "error": None}
    except Exception as error:
        return {"value": None, "error": f"{type(error).__name__}: {error}"}


def main() -> None:
    scratch = json.loads(sys.argv[1])["scratch"]
    # Engines that serve keep their cores busy; a proof that takes all of them would be felt by every user.
    os.nice(5)
    findings = {
        "features": features,
        "torch_build": torch_build,
        "acl_probe": acl_probe,
        "matmul": matmul_implementations,
        "symbols": symbols,
        "openmp": lambda: last_json(python(OPENMP)),
        "selftest": selftest,
        "engine": lambda: last_json(python(ENGINE, scratch, VLLM_CPU_OMP_THREADS_BIND="nobind")),
    }
    told = {name: attempt(find) for name, find in findings.items()}
    shutil.rmtree(scratch, ignore_errors=True)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
