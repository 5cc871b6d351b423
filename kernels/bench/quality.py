"""What rounding weights costs in likelihood: perplexity of real text, by real vLLM, of each way to serve one model.

    PYTHONPATH=SITE ENGINE_PYTHON kernels/bench/quality.py MODEL TEXT... [--awq DIR] [--windows 8] [--tokens 512]

SITE holds the unpacked wheel axion_kernels, MODEL a checkpoint in bfloat16, TEXT files that it may read. Each way gets
the same windows of tokens and tells how likely it found each token but a window's first. A default may cost at most
1 %: what costs more is for people to switch on.
"""

import argparse
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Way:
    """What AXION_KERNELS says, further arguments of the engine, and what no setting of vLLM says."""

    kernels: str
    quantization: str | None = None
    is_awq: bool = False
    has_8_bit_activations: bool = False


WAYS = {
    "bfloat16": Way("none"),
    "int8 output head": Way("lm_head"),
    "AWQ": Way("linear_w4", is_awq=True),
    "AWQ, int8 output head": Way("linear_w4,lm_head", is_awq=True),
    "AWQ, w4a8": Way("linear_w4", is_awq=True, has_8_bit_activations=True),
    "axion_w4": Way("axion_w4", "axion_w4"),
    "axion_w4, int8 output head": Way("axion_w4,lm_head", "axion_w4"),
    "axion_w4, w4a8": Way("axion_w4", "axion_w4", has_8_bit_activations=True),
}


def use_8_bit_activations() -> None:
    """Have the int4 layers round activations too, which no setting does: linear_w4a8 has no caller in vLLM."""
    import torch  # noqa: PLC0415 - in the children only, as below
    from axion_kernels.linear_w4 import AxionW4LinearKernel  # noqa: PLC0415
    from axion_kernels.online_w4 import AxionW4LinearMethod  # noqa: PLC0415

    def apply_weights(self: Any, layer: Any, x: Any, bias: Any = None) -> Any:
        return torch.ops.axion.linear_w4a8(x, getattr(layer, self.w_q_name), bias, *self.shape)

    def apply(_self: Any, layer: Any, x: Any, bias: Any = None) -> Any:
        return torch.ops.axion.linear_w4a8(x, layer.weight, bias, *layer.axion_shape)

    AxionW4LinearKernel.apply_weights, AxionW4LinearMethod.apply = apply_weights, apply


def likelihoods(name: str, model: str, windows: list[list[int]]) -> list[float]:
    """The logarithm of the likelihood of each token, in order; in the engine environment."""
    from vllm import LLM, SamplingParams  # noqa: PLC0415 - takes seconds, and only the children need it

    way = WAYS[name]
    if way.has_8_bit_activations:
        use_8_bit_activations()
    llm = LLM(
        model, dtype="bfloat16", max_model_len=len(windows[0]) + 1, max_num_seqs=1, enforce_eager=True,
        kv_cache_memory_bytes=64 << 20, enable_prefix_caching=False, quantization=way.quantization,
    )  # fmt: skip
    prompts: Any = [{"prompt_token_ids": window} for window in windows]
    asked = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False)
    found: list[float] = []
    for window, output in zip(windows, llm.generate(prompts, asked, use_tqdm=False), strict=True):
        told = output.prompt_logprobs or []
        found += [each[token].logprob for token, each in zip(window, told, strict=True) if each is not None]
    return found


def windows_of(model: str, texts: list[Path], count: int, tokens: int) -> list[list[int]]:
    """As many windows of that many tokens as the texts have, at most `count`, spread evenly."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - as above

    text = "\n\n".join(path.read_text(encoding="utf-8") for path in texts)
    ids = AutoTokenizer.from_pretrained(model)(text)["input_ids"]
    whole = [ids[begin : begin + tokens] for begin in range(0, len(ids) - tokens + 1, tokens)]
    if not whole:
        raise SystemExit(f"TEXT: {len(ids)} tokens, too few for a window of {tokens}. Name more text.")
    return whole[:: max(1, len(whole) // count)][:count]


def child(name: str, model: str, windows: list[list[int]]) -> list[float]:
    """Ask one way, in a process of its own: the plug-in reads its switches once."""
    os.environ["AXION_KERNELS"] = WAYS[name].kernels
    os.dup2(2, 1)  # the table is all that goes to standard output
    return likelihoods(name, model, windows)


def perplexity(likelihoods: list[float]) -> float:
    return math.exp(-sum(likelihoods) / len(likelihoods))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Perplexity of real text, by each way to serve one model.")
    parser.add_argument("model")
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--awq", help="the same model as awq_checkpoint.py made it; left out, so are its rows")
    parser.add_argument("--ways", nargs="+", choices=WAYS, metavar="WAY", default=list(WAYS), help="all, by default")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--at-once", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    models = {name: given.awq if WAYS[name].is_awq else given.model for name in given.ways}
    windows = windows_of(given.model, given.texts, given.windows, given.tokens)
    told = sum(len(window) - 1 for window in windows)
    print(f"Measured: {told} tokens in {len(windows)} windows of {given.tokens}, {Path(given.model).name}.\n")
    print("| served as | perplexity | against bfloat16 |\n|---|---:|---:|", flush=True)
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    }  # fmt: skip
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vllm.entrypoints.llm"])  # whose import takes longer than some ways
    with ProcessPoolExecutor(given.at_once, mp_context=context, max_tasks_per_child=1) as pool:
        asked = {name: pool.submit(child, name, model, windows) for name, model in models.items() if model is not None}
        plain: float | None = None
        for name, answer in asked.items():
            value = perplexity(answer.result())
            plain = value if name == "bfloat16" else plain
            rise = "" if plain is None else f"{value / plain - 1:+.2%}"
            print(f"| {name} | {value:.3f} | {rise} |", flush=True)


if __name__ == "__main__":
    main()
