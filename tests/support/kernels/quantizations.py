"""Ask vLLM which of the checkpoints of tests/support/quantization_cases.py it serves. Runs in the engine environment.

    python -m tests.support.kernels.quantizations OUT     checkpoints below OUT, and OUT/answers.json

vLLM's own kernel for CPUs is switched off: on Arm it is not compiled, whatever it says of itself (vllm#55613).
"""

import gc
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.update(
    VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_DISABLED_KERNELS="CPUWNA16LinearKernel",
    HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1",
)  # fmt: skip

import torch  # in the engine environment only
from vllm import LLM, SamplingParams  # reads the environment

from tests.support.kernels.checkpoints import (
    PLAIN_ORDER,
    VOCABULARY,
    Int4,
    awq,
    compressed,
    gptq,
    make,
    save,
    to_int4,
    weights,
    words,
)
from tests.support.quantization_cases import CASES, Case


def gptq_v2(name: str, weight: Int4) -> dict[str, Any]:
    """Zero points as they are; the first format stores them less one."""
    return {**gptq(name, weight), f"{name}.qzeros": words(weight.zeros.t(), PLAIN_ORDER)}


def compressed_zeros(name: str, weight: Int4) -> dict[str, Any]:
    zeros = words(weight.zeros.t(), PLAIN_ORDER).t().contiguous()  # packed along the rows: [N / 8, G]
    return {**compressed(name, weight), f"{name}.weight_zero_point": zeros}


def marlin(name: str, weight: Int4) -> dict[str, Any]:
    """The names are Marlin's; nobody gets as far as to read the values."""
    inputs, outputs = weight.q.shape[1], weight.q.shape[0]
    return {
        f"{name}.B": torch.zeros(inputs // 16, outputs * 2, dtype=torch.int32),
        f"{name}.s": weight.scales.t().half().contiguous(),
    }


LAYOUTS: Mapping[str, Callable[[str, Int4], dict[str, Any]]] = {
    "awq": awq,
    "gptq": gptq,
    "gptq_v2": gptq_v2,
    "marlin": marlin,
    "compressed": compressed,
    "compressed_zeros": compressed_zeros,
}


PROMPT = [3, 141, 59, 26, 53]


def twin_of(case: Case) -> str:
    """One for all cases whose weights are the same."""
    return f"{case.group} {case.symmetric} {'+'.join(case.kept)} {case.head}"


def write(case: Case, directory: Path, twin_directory: Path) -> None:
    model = make("mistral")
    twin = weights(model)
    checkpoint = dict(twin)
    for layer, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear) or layer.endswith(case.kept or ("nothing",)):
            continue
        if layer == "lm_head" and not case.head:
            continue
        group = module.in_features if case.group == -1 else case.group
        weight = to_int4(module.weight, group, symmetric=case.symmetric)
        twin[f"{layer}.weight"] = weight.dequantized().bfloat16()
        del checkpoint[f"{layer}.weight"]
        checkpoint |= LAYOUTS[case.tensors](layer, weight)
    if not twin_directory.exists():
        save(twin_directory, model, twin, None)
    save(directory, model, checkpoint, None)
    at = directory / (case.beside or "config.json")
    fields = {} if case.beside else json.loads(at.read_text())
    at.write_text(json.dumps({**fields, **(case.config if case.beside else {case.key: case.config})}, indent=1))


def answer(directory: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """All logits of one prompt; or why there are none."""
    try:
        llm = LLM(
            str(directory), dtype="bfloat16", max_model_len=64, max_num_seqs=1, kv_cache_memory_bytes=16 << 20,
            max_logprobs=VOCABULARY, logprobs_mode="raw_logits", enforce_eager=True, **options,
        )  # fmt: skip
        asked = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True, logprobs=VOCABULARY)
        step = llm.generate([{"prompt_token_ids": PROMPT}], asked, use_tqdm=False)[0].outputs[0].logprobs[0]
        return {"logits": [step[token].logprob for token in range(VOCABULARY)]}
    except Exception as error:  # whatever it is, it is the answer
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        llm = None
        gc.collect()


def main() -> None:
    out = Path(sys.argv[1])
    answers: dict[str, Any] = {}
    for name, case in CASES.items():
        twin = twin_of(case)
        write(case, out / "cases" / name, out / "twins" / twin)
        answers[name] = {"got": answer(out / "cases" / name, case.options)}
        if f"twin {twin}" not in answers and "logits" in answers[name]["got"]:
            answers[f"twin {twin}"] = answer(out / "twins" / twin, {})
        answers[name]["wanted"] = answers.get(f"twin {twin}")
        (out / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
