"""Answer the same prompts with real vLLM with and without guesses from n-grams, and print what came out as JSON.

    python speculate.py MODEL ANSWERS.json     in the engine environment

In float32, where a step of five tokens rounds nearly as five steps do: greedy tokens can be compared to the last.
"""

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")

from vllm import LLM, SamplingParams  # reads the environment

NGRAM = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3, "prompt_lookup_min": 1}
PROMPTS = ([5, 6, 7, 8] * 5, [*range(100, 120), *range(100, 110)], [271, 82, 81, 8, 284, 59, 45, 23, 53, 60])
TOKENS = 40
ASKED: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "greedy, penalties": {"temperature": 0, "repetition_penalty": 1.3, "frequency_penalty": 0.2},
    "greedy, logprobs": {"temperature": 0, "logprobs": 2},
    "top_k 1": {"temperature": 1, "top_k": 1},
    "top_p 0": {"temperature": 1, "top_p": 1e-6},
    "top_k": {"temperature": 1, "top_k": 20, "seed": 7},
    "top_k again": {"temperature": 1, "top_k": 20, "seed": 7},
    "top_p": {"temperature": 0.7, "top_p": 0.8},
    "both, penalties": {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05},
    "temperature": {"temperature": 1.2},
}


def answers(model: str, speculative: dict[str, Any] | None) -> dict[str, Any]:
    """The tokens of each kind of request, of a batch of two kinds, and how many guesses were made and kept."""
    llm = LLM(
        model, dtype="float32", max_model_len=256, max_num_seqs=4, seed=0, enforce_eager=True,
        kv_cache_memory_bytes=64 << 20, speculative_config=speculative, disable_log_stats=False,
    )  # fmt: skip
    prompts: Any = [{"prompt_token_ids": list(prompt)} for prompt in PROMPTS]

    def tokens(*settings: dict[str, Any]) -> list[list[int]]:
        given = [SamplingParams(max_tokens=TOKENS, ignore_eos=True, **each) for each in settings]
        return [list(output.outputs[0].token_ids) for output in llm.generate(prompts, given, use_tqdm=False)]

    told: dict[str, Any] = {kind: tokens(settings, settings, settings) for kind, settings in ASKED.items()}
    told["mixed"] = tokens(ASKED["greedy"], ASKED["top_p"], ASKED["greedy, penalties"])
    for metric in llm.get_metrics():
        if metric.name in ("vllm:spec_decode_num_draft_tokens", "vllm:spec_decode_num_accepted_tokens"):
            told[metric.name.removeprefix("vllm:spec_decode_num_")] = metric.value
    return told


def main() -> None:
    made = {"off": answers(sys.argv[1], None)}
    gc.collect()  # the first model
    made["on"] = answers(sys.argv[1], NGRAM)
    Path(sys.argv[2]).write_text(json.dumps(made))


if __name__ == "__main__":
    main()
