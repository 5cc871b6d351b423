"""The two files an engine starts from: its vLLM arguments and its environment."""

import json
from collections.abc import Mapping
from typing import Any

from deployment.models.sizing import EnginePlan
from deployment.models.spec import adapter_key

# The engine never asks the network for anything: weights are local, and usage reports are nobody's business.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def engine_arguments(
    plan: EnginePlan, directories: Mapping[str, str], template_path: str | None
) -> list[tuple[str, str]]:
    """Pair each `vllm serve` flag, without its dashes, with a JSON value. Unset optional arguments are left out.

    `directories` say where the checkpoint and its adapters lie on the host, `template_path` where its chat template.
    """
    model, engine = plan.model, plan.model.engine
    checkpoint, parsers, speculation = model.checkpoint, model.parsers, engine.speculative_config
    arguments: dict[str, Any] = {
        "model": directories[plan.name],
        "served-model-name": [plan.name],
        "uds": plan.socket,
        "dtype": engine.dtype,
        "quantization": engine.quantization or (checkpoint.quantization and checkpoint.quantization.argument),
        "max-model-len": engine.max_model_len,
        "max-num-seqs": engine.max_num_seqs,
        "max-num-batched-tokens": model.step_tokens,
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
        "hf-overrides": dict(checkpoint.hf_overrides) or None,
        "speculative-config": speculation.model_dump(exclude_none=True) if speculation else None,
        "enable-auto-tool-choice": True if parsers.tool_call_parser else None,
        "tool-call-parser": parsers.tool_call_parser,
        "reasoning-parser": parsers.reasoning_parser,
        "chat-template": template_path,
        **_lora_arguments(plan, directories),
        **{key.replace("_", "-"): _as_words(value) for key, value in engine.extra_args.items()},
    }
    return [(flag, json.dumps(value)) for flag, value in arguments.items() if value is not None]


def _lora_arguments(plan: EnginePlan, directories: Mapping[str, str]) -> Mapping[str, Any]:
    engine, adapters = plan.model.engine, plan.model.lora
    modules = [{"name": name, "path": directories[adapter_key(plan.name, name)]} for name in adapters]
    return adapters and {
        "enable-lora": True,
        "lora-modules": _as_words(modules),
        "max-lora-rank": engine.max_lora_rank,
        # vLLM's own default is one: requests for two adapters would wait for each other.
        "max-loras": engine.max_loras or len(adapters),
    }


def _as_words(value: Any) -> Any:
    """vLLM writes each item of a list with str(): a mapping in it has to be JSON already."""
    if not isinstance(value, list):
        return value
    return [json.dumps(item) if isinstance(item, dict | list) else item for item in value]


def engine_variables(plan: EnginePlan, root: str) -> list[tuple[str, str]]:
    """Name the environment of one engine on a host with this root."""
    state = f"{root}/state/{plan.name}"
    threads: Mapping[str, str] = {
        "VLLM_CPU_OMP_THREADS_BIND": plan.thread_binding,
        "OMP_NUM_THREADS": str(plan.compute_threads),
    }
    # Threads that wait by spinning starve the neighbours they share cores with.
    waiting: Mapping[str, str] = {"OMP_WAIT_POLICY": "PASSIVE"} if plan.is_shared else {}
    caches = {
        "VLLM_CACHE_ROOT": f"{state}/vllm",
        "VLLM_CONFIG_ROOT": f"{state}/vllm",
        "TORCHINDUCTOR_CACHE_DIR": f"{state}/inductor",
        "XDG_CACHE_HOME": f"{state}/cache",
        "HF_HOME": f"{state}/huggingface",
    }
    lending = {"AXION_CORES": _lent_cores(plan, root)} if plan.is_elastic else {}
    kernels = plan.model.kernels.variable
    switches = {"AXION_KERNELS": kernels} if kernels is not None else {}
    # Its name goes with the release: what no release names is pruned (agent/packed.py).
    packed = {"AXION_PACKED": f"{state}/packed"} if plan.packed_bytes else {}
    # Beside the socket, where the gateway looks for it (gateway/kernels.py).
    report = {"AXION_KERNELS_REPORT": f"{plan.socket.removesuffix('.sock')}.kernels"}
    return list({**OFFLINE, **threads, **waiting, **lending, **caches, **switches, **packed, **report}.items())


def _lent_cores(plan: EnginePlan, root: str) -> str:
    """What the plug-in (axion_kernels/lending.py) must know. The table is in memory, where no disk delays a step."""
    return json.dumps(
        {
            "table": f"/dev/shm/axion-cores{root.replace('/', '-')}",  # noqa: S108 - refused unless it is the engines' own
            "name": plan.name,
            "home": plan.core_list,
            "compute": plan.compute_list,
            "all": plan.allowed_list,
        }
    )
