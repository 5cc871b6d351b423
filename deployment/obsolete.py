"""Keys of older vLLM versions and older deployments, and what says the same today.

vLLM's side was checked with the argument parser of 0.32.0: it no longer knows the keys marked gone, and the
others it accepts but they cannot work here.
"""

from collections.abc import Mapping

ENGINE_KEYS: Mapping[str, str] = {
    "block_size": "The CPU backend chooses it. Delete the key",
    "cpu_offload_gb": "There is no accelerator to offload from. Delete the key",
    "device": "Gone from vLLM; the platform decides. Delete the key",
    "disable_log_requests": "Gone from vLLM; requests are not logged unless asked for. Delete the key",
    "disable_log_stats": "The gateway reads the engine's metrics. Delete the key",
    "enable_chunked_prefill": "Always on. Delete the key",
    "enable_sleep_mode": "Not supported on CPUs. Stop the model's unit to free its memory",
    "gpu_memory_utilization": "On a CPU it is a share of the whole host per engine, so several engines cannot start. "
    "Set kv_cache_memory_bytes",
    "host": "Engines listen on a Unix socket. Set gateway.listen",
    "kv_cache_dtype": "An fp8 KV cache does not exist on Arm CPUs. Delete the key; the cache is bfloat16",
    "max_context_len_to_capture": "Gone from vLLM with CUDA graphs on CPUs. Delete the key",
    "max_seq_len_to_capture": "Gone from vLLM with CUDA graphs on CPUs. Delete the key",
    "model": "Say where the checkpoint is under weights",
    "num_scheduler_steps": "Gone from vLLM with the V0 engine. Delete the key",
    "port": "Engines listen on a Unix socket. Set gateway.listen",
    "revision": "Say it under weights",
    "served_model_name": "The model's key in models.yaml is its name; add others under aliases",
    "swap_space": "Gone from vLLM: preempted sequences are recomputed. Give kv_cache_memory_bytes what you would swap",
    "tensor_parallel_size": "One engine runs on one socket of cores. Set cores",
    "use_v2_block_manager": "Gone from vLLM: the V1 engine has one block manager. Delete the key",
}

MODEL_KEYS: Mapping[str, str] = {
    "architecture": "Its checkpoint says it. Delete the key; `fab models-update NAME` reads it",
    "dtype": "It belongs under engine",
    "enforce_eager": "It belongs under engine",
    "expert_id": "The model's key in models.yaml is its id",
    "gpu_memory_utilization": "Set engine.kv_cache_memory_bytes",
    "kv_cache_dtype": "Delete the key; the cache is bfloat16",
    "max_loaded_experts": "Every model of the file is loaded. Delete the key",
    "max_model_len": "It belongs under engine",
    "max_num_batched_tokens": "It belongs under engine",
    "max_num_seqs": "It belongs under engine",
    "model_path": "Say weights.path or weights.hub",
    "priority": "Engines have their own cores and memory. Delete the key",
    "quantization": "It belongs under engine",
    "swap_space": "Gone from vLLM: preempted sequences are recomputed. Delete the key",
    "tensor_parallel_size": "One engine runs on one socket of cores. Set cores",
    "use_cases": "Say it in description",
    "use_v2_block_manager": "Gone from vLLM: the V1 engine has one block manager. Delete the key",
}

WEIGHTS_KEYS: Mapping[str, str] = {
    "group_size": "The checkpoint says it. Delete the key",
}

TOP_KEYS: Mapping[str, str] = {
    "consensus_model": "There is no consensus of models. Delete the key",
    "experts": "List models under models, as a mapping from name to model",
    "lazy_loading": "Every model of the file is loaded. Delete the key",
    "server_config": "Say where clients connect under gateway.listen",
}


STACK_KEYS: Mapping[str, str] = {
    "monthlyUsd": "Write monthlyAmount, in the billing account's currency, which need not be dollars",
}


def replacement(path: tuple[str | int, ...]) -> str | None:
    """Say what to do about an unknown key of models.yaml or a stack's file that used to mean something."""
    key = str(path[-1])
    if "axion:budget" in path:
        return STACK_KEYS.get(key)
    if len(path) == 1:
        return TOP_KEYS.get(key)
    if path[0] == "models" and len(path) == 3:
        return MODEL_KEYS.get(key)
    if path[0] == "models" and len(path) == 4:
        return {"engine": ENGINE_KEYS, "weights": WEIGHTS_KEYS}.get(str(path[2]), {}).get(key)
    return None
