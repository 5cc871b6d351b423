"""Runs in an engine environment: real vLLM starts with the KV cache that it is given, one JSON document in and one out.

Input: a list of {"model": a directory, "tokens": its context, "step_tokens": tokens of a step, "options": further
arguments of LLM}. Output: for each how many tokens a sequence got that was asked to fill the whole context, or the
sentence with which vLLM refused to start.
"""

import importlib
import json
import multiprocessing
import os
import sys
from collections.abc import Mapping
from typing import Any

os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
ANSWER = 8
MODELS = tuple(f"model_executor.models.{name}" for name in ("gemma3", "llama", "mistral", "phi3"))


def started(job: Mapping[str, Any]) -> int | str:
    vllm, tokens = importlib.import_module("vllm"), job["tokens"]
    try:
        engine = vllm.LLM(
            job["model"], load_format="dummy", skip_tokenizer_init=True, dtype="bfloat16", max_num_seqs=1, seed=0,
            max_model_len=tokens, max_num_batched_tokens=job["step_tokens"], enforce_eager=True, **job["options"],
        )  # fmt: skip
    except ValueError as refusal:
        return str(refusal)
    prompt = {"prompt_token_ids": [3 + at % 500 for at in range(tokens - ANSWER)]}
    params = vllm.SamplingParams(temperature=0, max_tokens=ANSWER, ignore_eos=True, detokenize=False)
    (output,) = engine.generate([prompt], params, use_tqdm=False)
    return len(output.prompt_token_ids) + len(output.outputs[0].token_ids)


def main() -> None:
    for name in ("entrypoints.llm", "v1.engine.core", "v1.worker.cpu_worker", *MODELS):
        importlib.import_module(f"vllm.{name}")
    # A process for each, forked where vLLM is imported already: what one engine leaves behind breaks another.
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        print(json.dumps(pool.map(started, json.load(sys.stdin), chunksize=1)))


if __name__ == "__main__":
    main()
