"""Answer fixed prompts greedily with real vLLM, model after model in one process, and print what came out as JSON.

    python serve.py JOBS.json     a list of {"name": ..., "model": directory, "options": {further arguments of LLM}}

Runs in the engine environment. A model that fails is part of the answer: stock vLLM does, on Arm.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")

from vllm import LLM, SamplingParams  # reads the environment

PROMPTS = ([3, 141, 59, 26, 53], [271, 82, 81, 8, 284, 59, 45, 23, 53, 60], [*range(100, 140)])
VOCABULARY = 512
TOKENS = 16  # with random weights near-ties come sooner or later, and any rounding decides them


def answer(model: str, options: dict[str, Any], packed: str) -> dict[str, Any]:
    """Greedy tokens of every prompt, the two best logits at each, and all logits of the first."""
    began = time.monotonic()
    llm = LLM(
        model, dtype="bfloat16", max_model_len=256, max_num_seqs=4, seed=0,
        kv_cache_memory_bytes=64 << 20, max_logprobs=VOCABULARY, logprobs_mode="raw_logits",
        **{"enforce_eager": True, **options},
    )  # fmt: skip
    prompts = [{"prompt_token_ids": list(prompt)} for prompt in PROMPTS]
    greedy = SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True, logprobs=2)
    first = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True, logprobs=VOCABULARY)
    drawn = SamplingParams(temperature=1, top_p=0.8, top_k=20, seed=7, max_tokens=TOKENS, ignore_eos=True)
    chosen = [output.outputs[0] for output in llm.generate(prompts, greedy, use_tqdm=False)]
    result = {
        "tokens": [list(output.token_ids) for output in chosen],
        "best": [[best_two(step) for step in output.logprobs] for output in chosen],
        "logits": [logits(output.outputs[0]) for output in llm.generate(prompts, first, use_tqdm=False)],
        "drawn": [list(output.outputs[0].token_ids) for output in llm.generate(prompts, drawn, use_tqdm=False)],
        "drawn_again": [list(output.outputs[0].token_ids) for output in llm.generate(prompts, drawn, use_tqdm=False)],
        "projection": llm.apply_model(elements)[0],
        "mappings": mappings(packed),
        "seconds": round(time.monotonic() - began, 1),
    }
    del llm
    gc.collect()
    return result


def best_two(step: Any) -> list[tuple[int, float]]:
    """Tokens and logits; which of two equal ones was chosen says nothing."""
    return sorted(((token, entry.logprob) for token, entry in step.items()), key=lambda pair: -pair[1])[:2]


def logits(output: Any) -> list[float]:
    by_token = {token: entry.logprob for token, entry in output.logprobs[0].items()}
    return [by_token[token] for token in range(VOCABULARY)]


def elements(model: Any) -> dict[str, int]:
    """How many weights the output projection and the embedding hold in bfloat16, and what they hold in common."""
    head, embedding = model.lm_head.weight, model.model.embed_tokens.weight
    shared = head.numel() if head.data_ptr() == embedding.data_ptr() else 0
    return {"head": head.numel(), "embedding": embedding.numel(), "shared": shared}


def reported() -> dict[str, Any]:
    """What the plug-in reported so far, where it is installed."""
    path = os.environ.get("AXION_KERNELS_REPORT", "")
    report = json.loads(Path(path).read_text()) if path else {}
    return {"layers": report.get("layers", {}), "packed": report.get("packed")}


def mappings(directory: str) -> list[str]:
    """How this process may use what it maps of a directory."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line.split()[1] for line in lines if directory and line.endswith(".packed") and f" {directory}/" in line]


def main() -> None:
    answers: dict[str, Any] = {}
    for job in json.loads(Path(sys.argv[1]).read_text()):
        packed = job.get("packed", "")
        os.environ.update({"AXION_PACKED": packed} if packed else {})
        try:
            answers[job["name"]] = answer(job["model"], job.get("options", {}), packed) | reported()
        except Exception as error:  # whatever it is, it is the answer
            answers[job["name"]] = {"error": f"{type(error).__name__}: {error}"}
    Path(sys.argv[2]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
