"""Checks of what the operators promise besides numbers: fakes, threads, one OpenMP, words of refusal."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.library import opcheck

from tests.support.kernels.inputs import int4, random

axion = torch.ops.axion


def samples() -> dict[str, tuple[Any, ...]]:
    """Arguments of every operator, small: for opcheck, which runs each many times."""
    q, scales, zeros, _ = int4(24, 64, 32)
    rows, bias = random(3, 64), random(24)
    qkv = random(2, 2, 5, 32)
    packed_w4 = axion.pack_w4(q, scales, zeros, 32)
    weight = random(24, 64)
    return {
        "rms_norm": (rows, random(64), 1e-6, True),
        "fused_add_rms_norm": (rows, random(3, 64), random(64), 1e-6),
        "rotary_embedding": (torch.tensor([4, 0, 2]), random(3, 64), random(3, 32), 32, random(8, 24)),
        "silu_and_mul": (rows,),
        "gelu_tanh_and_mul": (rows,),
        "softmax": (rows, 0.5),
        "attention": (random(2, 4, 5, 32), qkv, qkv, 0.2, True, 3, 10.0),
        "pack_bf16": (weight,),
        "linear_bf16": (rows, axion.pack_bf16(weight), bias, 24),
        "pack_w4": (q, scales, zeros, 32),
        "linear_w4": (rows, packed_w4, bias, 24, 64, 32),
        "linear_w4a8": (rows, packed_w4, None, 24, 64, 32),
        "linear_w4_silu_and_mul": (rows, packed_w4, bias, 24, 64, 32),
        "linear_w4_gelu_tanh_and_mul": (rows, packed_w4, None, 24, 64, 32),
        "pack_w8": (weight,),
        "linear_w8": (rows, axion.pack_w8(weight), bias, 24),
        "penalize_": (
            random(3, 50, dtype=torch.float32),
            *(torch.arange(12).view(3, 4), torch.arange(40, 55).view(3, 5)),
            *(torch.ones(3), torch.ones(3), torch.full((3,), 1.1)),
        ),
        "sample": (
            random(3, 50),
            torch.ones(3),
            torch.tensor([5, 50, 1]),
            torch.full((3,), 0.9),
            None,
            torch.arange(3),
        ),
    }


def check_opcheck_passes_for_every_operator() -> None:
    arguments = samples()
    schemas = {name.split("::")[1].split(".")[0] for name in torch._C._dispatch_get_all_op_names() if "axion::" in name}
    assert schemas - {"isa", "packed_bf16_bytes", "packed_w4_bytes", "packed_w8_bytes"} == set(arguments)
    for name, args in arguments.items():
        opcheck(getattr(axion, name).default, args)


def check_results_do_not_depend_on_the_number_of_threads() -> None:
    arguments = {name: args for name, args in samples().items() if "pack" not in name and name[-1] != "_"}
    arguments["linear_w4"] = (random(9, 256), axion.pack_w4(*int4(64, 256, 64)[:3], 64), None, 64, 256, 64)
    # Halves that share a panel, and more columns than one block of them.
    wide = axion.pack_w4(*int4(1208, 64, 32)[:3], 32)
    arguments["linear_w4_silu_and_mul"] = (random(128, 64), wide, None, 1208, 64, 32)
    arguments["linear_w4_gelu_tanh_and_mul"] = (random(4, 64), wide, None, 1208, 64, 32)
    arguments["silu_and_mul"] = (random(1, 20000),)
    arguments["sample"] = (random(3, 150_000), torch.ones(3), None, torch.full((3,), 0.9), None, torch.arange(3))
    results = []
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        results.append([torch.utils._pytree.tree_leaves(getattr(axion, n)(*a)) for n, a in arguments.items()])
    torch.set_num_threads(2)
    for other in results[1:]:
        assert all(torch.equal(a, b) for x, y in zip(results[0], other, strict=True) for a, b in zip(x, y, strict=True))


def check_the_operators_work_on_as_many_threads_as_torch() -> None:
    alive = []
    for threads in (2, 6, 2):
        torch.set_num_threads(threads)
        axion.silu_and_mul(random(64, 20000))
        time.sleep(0.3)  # the runtime ends threads that it has no use for, in its own time
        alive.append(len(list(Path("/proc/self/task").iterdir())))
    assert alive[1] == alive[0] + 4, alive


def check_one_openmp_runtime_is_in_the_process() -> None:
    axion.silu_and_mul(random(8, 20000))
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    # By the whole word: on Arm torch brings a libnvpl_blas_lp64_gomp, which is a BLAS.
    assert len([path for path in mapped if re.search(r"/lib(gomp|iomp5|omp)[.-]", path)]) == 1, mapped


def refused(call: Callable[[], object], *words: str) -> None:
    try:
        call()
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        assert all(word in first for word in words), f"{words} not in {first!r}"
        return
    raise AssertionError(f"nothing was refused, expected {words}")


def check_refusals_name_the_operator_and_the_argument() -> None:
    x, packed = random(3, 64), axion.pack_w4(*int4(16, 64, 32)[:3], 32)
    q, scales, zeros, _ = int4(16, 64, 32)
    half, meta = x.half(), torch.empty(64, device="meta")
    cos_sin, heads = random(8, 24), random(3, 64)
    attend = random(1, 4, 2, 32)
    refused(lambda: axion.rms_norm(x, random(63), 1e-6), "axion::rms_norm: weight: expected shape [64], got [63]")
    refused(lambda: axion.rms_norm(half, random(64).half(), 1e-6), "axion::rms_norm: x: expected Float or BFloat16")
    refused(lambda: axion.rms_norm(x, meta, 1e-6), "axion::rms_norm: weight: expected", "meta")
    refused(lambda: axion.fused_add_rms_norm(x, x[:2], random(64), 1e-6), "axion::fused_add_rms_norm: residual:")
    refused(lambda: axion.rotary_embedding(torch.tensor([8, 0, 1]), heads, heads, 32, cos_sin), "positions:", "0 to 7")
    refused(lambda: axion.rotary_embedding(torch.tensor([-1, 0, 1]), heads, heads, 32, cos_sin), "positions:", "got -1")
    refused(lambda: axion.rotary_embedding(torch.zeros(3), heads, heads, 32, cos_sin), "positions: expected Long")
    refused(lambda: axion.rotary_embedding(torch.tensor([0, 1, 2]), heads, heads, 16, cos_sin), "cos_sin_cache:")
    refused(lambda: axion.silu_and_mul(random(2, 5)), "axion::silu_and_mul: x: expected an even last dimension")
    refused(lambda: axion.gelu_tanh_and_mul(half), "axion::gelu_tanh_and_mul: x:")
    refused(lambda: axion.softmax(x, 0.0), "axion::softmax: scale:")
    refused(lambda: axion.attention(attend, random(1, 3, 2, 32), random(1, 3, 2, 32), 1.0, True), "attention: k:")
    refused(lambda: axion.attention(attend, attend, attend[:, :, :1], 1.0, True), "axion::attention: v:")
    refused(lambda: axion.attention(attend, attend, attend, 1.0, True, -1), "axion::attention: window:")
    refused(lambda: axion.pack_bf16(x.float()), "axion::pack_bf16: weight: expected BFloat16, got Float")
    refused(lambda: axion.linear_bf16(x, packed, None, 16), "axion::linear_bf16: packed:")
    refused(lambda: axion.pack_w4(q.int(), scales, zeros, 32), "axion::pack_w4: q: expected Byte, got Int")
    refused(lambda: axion.pack_w4(q, scales[:, :1], zeros, 32), "axion::pack_w4: scales:", "[16, 2]")
    refused(lambda: axion.pack_w4(q, scales, zeros.T, 32), "axion::pack_w4: zeros:")
    refused(lambda: axion.pack_w4(q, scales, zeros, 48), "axion::pack_w4: group_size:", "got 48")
    whole = (q.repeat(1, 2)[:, :40], scales[:, :1], None, 40)  # one group a row, of 40
    refused(lambda: axion.pack_w4(*whole), "axion::pack_w4: q: expected columns in a multiple of 32, got [16, 40]")
    refused(lambda: axion.packed_w4_bytes(16, 40, 40), "axion::packed_w4_bytes: k: expected a multiple of 32, got 40")
    refused(lambda: axion.linear_w4(x[:, :40], packed, None, 16, 40, 40), "axion::linear_w4: k:", "of 32, got 40")
    refused(lambda: axion.linear_w4_silu_and_mul(x, packed, None, 15, 64, 32), "linear_w4_silu_and_mul: n:", "got 15")
    refused(lambda: axion.linear_w4_silu_and_mul(half, packed, None, 16, 64, 32), "linear_w4_silu_and_mul: x:", "Half")
    refused(lambda: axion.linear_w4_gelu_tanh_and_mul(x, packed, x, 16, 64, 32), "linear_w4_gelu_tanh_and_mul: bias:")
    refused(lambda: axion.linear_w4(x[:, :32], packed, None, 16, 64, 32), "axion::linear_w4: x: expected k = 64")
    refused(lambda: axion.linear_w4(x, packed[1:], None, 16, 64, 32), "axion::linear_w4: packed:")
    refused(lambda: axion.linear_w4(x, packed, random(15), 16, 64, 32), "axion::linear_w4: bias:", "[16]", "[15]")
    refused(lambda: axion.linear_w4(x, packed, random(16).float(), 16, 64, 32), "linear_w4: bias: expected BFloat16")
    refused(lambda: axion.linear_w4a8(half, packed, None, 16, 64, 32), "axion::linear_w4a8: x:", "Half")
    refused(lambda: axion.pack_w8(half), "axion::pack_w8: weight:")
    refused(lambda: axion.linear_w8(x, axion.pack_w8(x), random(2), 3), "axion::linear_w8: bias:")
    refused(lambda: axion.sample(x, torch.ones(2), None, None, None, torch.arange(3)), "axion::sample: temperature:")
    refused(lambda: axion.sample(x, torch.ones(3), torch.ones(3), None, None, torch.arange(3)), "axion::sample: top_k:")
