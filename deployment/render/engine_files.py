"""The two files an engine starts from: its vLLM arguments and its environment."""

import json
from collections.abc import Mapping
from typing import Any

from deployment.checkpoint.facts import Checkpoint
from deployment.models.option_arguments import Brought, option_arguments
from deployment.models.sizing import EnginePlan
from deployment.models.spec import Model

# The engine never asks the network for anything: weights are local, and usage reports are nobody's business.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def engine_arguments(
    model: Model, checkpoint: Checkpoint, plan: EnginePlan, directory: str, brought: Brought
) -> list[tuple[str, str]]:
    """Pair each `vllm serve` flag, without its dashes, with a JSON value. Unset optional arguments are left out.

    `directory` is where the checkpoint lies on the host.
    """
    engine = model.engine
    arguments: dict[str, Any] = {
        "model": directory,
        "served-model-name": [plan.name],
        "uds": plan.socket,
        "dtype": engine.dtype,
        "quantization": engine.quantization or (checkpoint.quantization and checkpoint.quantization.argument),
        "max-model-len": engine.max_model_len,
        "max-num-seqs": engine.max_num_seqs,
        "max-num-batched-tokens": engine.max_num_batched_tokens,
        "kv-cache-memory-bytes": int(engine.kv_cache_memory_bytes),
        "long-prefill-token-threshold": engine.long_prefill_token_threshold,
        # vLLM 0.32 drops `enable-prefix-caching: false` without a word and keeps the default, true.
        "no-enable-prefix-caching": True if not engine.enable_prefix_caching else None,
        "enforce-eager": engine.enforce_eager or None,
        "generation-config": engine.generation_config,
        "limit-mm-per-prompt": engine.limit_mm_per_prompt,
        "max-num-queued-reqs": engine.max_num_queued_reqs,
        "shutdown-timeout": engine.shutdown_timeout,
        "trust-remote-code": engine.trust_remote_code or None,
        # The gateway writes one line per request already, and polls /health every second.
        "disable-uvicorn-access-log": True,
        "enable-request-id-headers": True,
        # The only count of requests that a hanging engine cannot falsify: the watchdog reads it (agent/watchdog.py).
        "enable-server-load-tracking": True,
        **option_arguments(model, checkpoint, brought),
    }
    return [(flag, json.dumps(value)) for flag, value in arguments.items() if value is not None]


def engine_variables(plan: EnginePlan, policy: str, state: str, kernels: str | None = None) -> list[tuple[str, str]]:
    """Name the environment of one engine. `state` is its own directory for caches, `kernels` the plug-in's switches."""
    threads: Mapping[str, str] = {
        "VLLM_CPU_OMP_THREADS_BIND": plan.thread_binding,
        "OMP_NUM_THREADS": str(plan.compute_threads),
    }
    # Threads that wait by spinning starve the neighbours they share cores with.
    waiting: Mapping[str, str] = {"OMP_WAIT_POLICY": "PASSIVE"} if policy == "shared" else {}
    caches = {
        "VLLM_CACHE_ROOT": f"{state}/vllm",
        "VLLM_CONFIG_ROOT": f"{state}/vllm",
        "TORCHINDUCTOR_CACHE_DIR": f"{state}/inductor",
        "XDG_CACHE_HOME": f"{state}/cache",
        "HF_HOME": f"{state}/huggingface",
    }
    switches = {"AXION_KERNELS": kernels} if kernels is not None else {}
    return list({**OFFLINE, **threads, **waiting, **caches, **switches}.items())
