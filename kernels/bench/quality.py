"""What rounding weights costs in likelihood: perplexity of real text, by real vLLM, of each way to serve one model.

    PYTHONPATH=SITE ENGINE_PYTHON kernels/bench/quality.py MODEL TEXT... [--windows 8] [--tokens 512]

SITE holds the unpacked wheel axion_kernels, MODEL a checkpoint in bfloat16, TEXT files that it may read. Each way gets
the same windows of tokens and tells how likely it found each token but a window's first. A default may cost at most
1 %: what costs more is for people to switch on. w4a8 has no caller in vLLM and is not among the ways.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "bfloat16": ("none", {}),
    "int8 output head": ("lm_head", {}),
    "axion_w4": ("axion_w4", {"quantization": "axion_w4"}),
    "axion_w4, int8 output head": ("axion_w4,lm_head", {"quantization": "axion_w4"}),
}
"""What AXION_KERNELS says, and further arguments of the engine."""


def likelihoods(model: str, windows: list[list[int]], more: dict[str, str]) -> list[float]:
    """The logarithm of the likelihood of each token, in order; in the engine environment."""
    from vllm import LLM, SamplingParams  # noqa: PLC0415 - takes seconds, and only the children need it

    llm = LLM(
        model, dtype="bfloat16", max_model_len=len(windows[0]) + 1, max_num_seqs=1, enforce_eager=True,
        kv_cache_memory_bytes=64 << 20, enable_prefix_caching=False, **more,
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


def child(way: str, model: str, windows: list[list[int]]) -> list[float]:
    """Ask one way in a process of its own: the plug-in reads its switches once."""
    kernels, more = WAYS[way]
    variables = {
        "AXION_KERNELS": kernels, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, __file__, "--child"],
        input=json.dumps([model, windows, more]), env={**os.environ, **variables},
        stdout=subprocess.PIPE, text=True, check=True, timeout=3600,
    )  # fmt: skip
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def perplexity(likelihoods: list[float]) -> float:
    return math.exp(-sum(likelihoods) / len(likelihoods))


def main() -> None:
    parser = argparse.ArgumentParser(description="Perplexity of real text, by each way to serve one model.")
    parser.add_argument("model")
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=512)
    given = parser.parse_args()
    windows = windows_of(given.model, given.texts, given.windows, given.tokens)
    told = sum(len(window) - 1 for window in windows)
    print(f"Measured: {told} tokens in {len(windows)} windows of {given.tokens}, {Path(given.model).name}.\n")
    print("| served as | perplexity | against bfloat16 |\n|---|---:|---:|", flush=True)
    plain: float | None = None
    for way in WAYS:
        value = perplexity(child(way, given.model, windows))
        plain = plain or value
        print(f"| {way} | {value:.3f} | {value / plain - 1:+.2%} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        print(json.dumps(likelihoods(*json.load(sys.stdin))))
    else:
        main()
