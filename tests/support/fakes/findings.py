"""What the proofs print: recorded from the x86-64 environment and, by hand after its format, as an Axion host would."""

from typing import Any

from build.engine import seal

OPERATORS = ("rms_norm", "softmax", "attention", "linear_w4", "linear_w8", "sample")


def died(error: str) -> dict[str, str]:
    return {"error": error}


PICTURES: dict[str, Any] = {
    "torchvision": "0.28.0+cpu",
    "has_operators": True,
    "red": [163, 445, 275, 275, 22, 22, 22, 22],
    "white": [231] * 8,
    "red_again": [163, 445, 275, 275, 22, 22, 22, 22],
    "report": None,
}
ARM: dict[str, Any] = {
    "schema": "axion.findings/1",
    "features": {"bf16": True, "i8mm": True, "sve2": True},
    "torch_build": {"version": "2.13.0+cpu", "cuda": None, "hip": None},
    "acl_probe": True,
    "matmul": ["gemm:acl"],
    "symbols": {"_C.abi3.so": {"acl_matmul_t": 41, "mmla": ["sve_hybrid_bf16fp32_mmla_6x4VL"]}},
    "openmp": ["/opt/axion/venv/lib/python3.12/site-packages/torch.libs/libgomp-947d5fa1.so.1.0.0"],
    "selftest": {"isa": "sve2", "checks": dict.fromkeys(OPERATORS, "")},
    "engine": {
        "tokens": [53] * 8,
        "logprob": -0.015184016575403803,
        "report": {"isa": "sve2", "enabled": ["linear_w4", "sampler"], "layers": {"rms_norm": 5, "linear_w4": 8}},
    },
    "pictures": dict.fromkeys(("bfloat16", "awq"), PICTURES),
}
FIRST_LOOK: dict[str, Any] = {
    "schema": "axion.environment-look/1",
    "machine": "aarch64",
    "python": "3.12.3",
    "packages": {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu", "transformers": "5.19.0", "vllm": "0.32.0+cpu"},
    "kernels": {"device_type": "cpu", "extension": "_C.abi3.so", "operators": sorted(seal.REQUIRED_OPERATORS)},
    "command_version": "0.32.0+cpu",
}
