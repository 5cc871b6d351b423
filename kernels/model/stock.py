"""What others' operators cost: the calls that are traced, which functions are theirs, and cycles for a unit of work."""

import math
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernels.model.loops import Loop
from kernels.model.marked import GENERATED, Machine, Traced, trace_marked
from kernels.model.model import ModelError, disassemble, scheduled_cycles

LIBRARIES = ("/vllm/_C.abi3.so", "/libtorch_cpu.so", "/libloops.so")
WIDTH = 8  # of dispatch: the one that bars are stated for
CONTEXT = 1024
LOGITS = 8192
# Of torch's own operators the loops are counted, and what they call; the way to them is a call's price, told apart.
TORCH = r"SVE128|function_ref<void \(char\*\*|std::_|Sleef|^libm|^libc"
ATTENTION = r"^cpu_attention::|Sleef"
ONEDNN = rf"dnnl::|arm_compute|arm_gemm|arm_conv|{re.escape(GENERATED)}|_GLOBAL__N_.*brgemm"
GROUPS = (2, 3, 4, 7)  # heads that share their keys: gemma3, phi4, mistral, qwen


@dataclass(frozen=True)
class Section:
    """One traced call. `counted` finds the functions that belong to it; `work` is what it did, in the row's unit."""

    operator: str
    arguments: Mapping[str, Any]
    counted: str
    work: float


def _gated(kind: str) -> Section:
    return Section("gated", {"kind": kind, "width": 4096}, "activation_kernel", 4096)


def _decode(group: int) -> Section:
    shape = {"heads": group, "kv_heads": 1, "queries": 1, "context": CONTEXT}
    return Section("attention", shape, ATTENTION, 1)


def _product(m: int, n: int, k: int, *, wide: bool = False) -> Section:
    return Section("onednn_mm", {"m": m, "n": n, "k": k, "wide": wide}, ONEDNN, n * k)


def _per_logit(operator: str, counted: str = TORCH, **more: int) -> Section:
    return Section(operator, {"count": LOGITS, **more}, counted, LOGITS)


SECTIONS = {
    "rms_norm": Section("rms_norm", {"hidden": 4096}, "rms_norm_impl", 4096),
    "fused_add_rms_norm": Section("fused_add_rms_norm", {"hidden": 4096}, "fused_add_rms_norm_impl", 4096),
    "rotary_embedding": Section(
        "rotary_embedding", {"heads": 32, "kv_heads": 8, "rotary": 128}, "rotary_embedding_impl", 40 * 128
    ),
    "silu_and_mul": _gated("silu_and_mul"),
    "gelu_tanh_and_mul": _gated("gelu_tanh_and_mul"),
    "cache write": Section("cache_write", {"kv_heads": 8}, "::reshape_and_cache", 8),
    **{f"decode {group}:1": _decode(group) for group in GROUPS},
    "prefill": Section("attention", {"heads": 1, "kv_heads": 1, "queries": 64, "context": 256}, ATTENTION, 1),
    "linear M=1": _product(1, 256, 1024),
    "linear M=8": _product(8, 256, 1024),
    "linear M=128": _product(128, 96, 1024),
    "head M=1": _product(1, 256, 1024, wide=True),
    "rows taken": Section("take_rows", {"hidden": 4096}, TORCH, 4096),
    "to float": _per_logit("to_float"),
    "temperature": _per_logit("temperature"),
    "sort": Section("sort", {"count": LOGITS}, TORCH, LOGITS * math.log2(LOGITS)),
    "mask": _per_logit("mask_below"),
    "greedy": _per_logit("greedy_argmax", rf"{TORCH}|argmax"),
    "gumbel": _per_logit("gumbel_argmax", rf"{TORCH}|gumbel"),
    "penalties": _per_logit("penalties", said=1000),
    "log_softmax": _per_logit("log_softmax"),
}


def cycles_of(
    names: Iterable[str], plugin: Path, machine: Machine, loops: Iterable[Loop], library: Path, jobs: int
) -> dict[str, int]:
    """The modelled cycles of these sections and loops, all of which run once, in one process."""
    asked, counted = [], {}
    for name in names:
        section = SECTIONS[name]
        asked.append({"name": name, "operator": section.operator, "arguments": section.arguments})
        counted[name] = section.counted
    for loop in loops:
        arguments = {"library": str(library), "function": loop.symbol, "arguments": loop.arguments}
        asked.append({"name": loop.symbol, "operator": "loop", "arguments": arguments})
        counted[loop.symbol] = rf"^{loop.symbol}$|Sleef|^libm"
    if not asked:
        return {}
    traced = trace_marked(plugin, machine, asked, _is_read)
    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(counted, pool.map(lambda name: _scheduled(traced, name, counted[name]), counted), strict=True))


def _is_read(path: str) -> bool:
    return path.endswith(LIBRARIES)


def _scheduled(traced: Traced, name: str, counted: str) -> int:
    blocks, _ = traced.of(name, lambda function: re.search(counted, function) is not None)
    if not blocks:
        raise ModelError(f"{name}: no function that ran is named {counted}, got {traced.instructions(name)}")
    text = disassemble({word for block in set(blocks) for word in block.words})
    return scheduled_cycles("\n".join(text[word] for block in blocks for word in block.words) + "\n", WIDTH)
