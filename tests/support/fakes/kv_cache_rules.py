"""Runs in an engine environment: the functions of vLLM that decide whether an engine starts, one JSON document in and
one out.

Input: `scratch`, a directory; `shapes`, a list of layers and lengths; `checkpoints`, by name a config.json and lengths;
each length with a guess. Output: for each the least KV cache that vLLM accepts, and what it makes of a given one; for
checkpoints also the layers that vLLM itself builds from them. No weights are made: layers lie on torch's meta device.
"""

import importlib
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.update(VLLM_LOGGING_LEVEL="ERROR", HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
MOST = 1 << 45
MODULES = {
    "LlamaForCausalLM": "llama", "MistralForCausalLM": "mistral", "Phi3ForCausalLM": "phi3",
    "Qwen2ForCausalLM": "qwen2", "Gemma3ForCausalLM": "gemma3", "Gemma3ForConditionalGeneration": "gemma3_mm",
}  # fmt: skip


def engine_config(directory: Path, checkpoint: Mapping[str, Any], **options: Any) -> Any:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(checkpoint))
    arguments = importlib.import_module("vllm.engine.arg_utils").EngineArgs(
        str(directory), load_format="dummy", skip_tokenizer_init=True, max_num_seqs=1, enforce_eager=True,
        kv_cache_memory_bytes=MOST, **options,
    )  # fmt: skip
    config = arguments.create_engine_config()
    backend = importlib.import_module("vllm.v1.attention.backends.cpu_attn").CPUAttentionBackend
    layouts = [[layout.name for layout in backend.supported_kv_cache_layouts()]]
    importlib.import_module("vllm.v1.attention.backends.utils").resolve_kv_cache_layout(config, layouts)
    return config


def built_layers(config: Any) -> dict[str, Any]:
    """What each attention layer of the model wants, as the worker tells the engine."""
    torch = importlib.import_module("torch")
    base = importlib.import_module("vllm.model_executor.layers.attention_layer_base").AttentionLayerBase
    with importlib.import_module("vllm.config").set_current_vllm_config(config), torch.device("meta"):
        importlib.import_module("vllm.model_executor.model_loader.utils").initialize_model(config)
    layers = config.compilation_config.static_forward_context
    wanted = {name: layer.get_kv_cache_spec(config) for name, layer in layers.items() if isinstance(layer, base)}
    return {name: spec for name, spec in wanted.items() if spec is not None}


def given_layers(config: Any, shape: Mapping[str, Any]) -> dict[str, Any]:
    kinds = importlib.import_module("vllm.v1.kv_cache_interface")
    common = {
        "block_size": config.cache_config.block_size, "num_kv_heads": shape["kv_heads"], "head_size": shape["head_dim"],
        "dtype": getattr(importlib.import_module("torch"), shape["dtype"]),
    }  # fmt: skip
    full, sliding = (range(shape[key]) for key in ("full_layers", "sliding_layers"))
    windowed = kinds.SlidingWindowSpec(sliding_window=shape["sliding_window"], **common) if sliding else None
    whole = kinds.FullAttentionSpec(**common)
    return {
        **{f"model.layers.{at}.full": whole for at in full},
        **{f"model.layers.{at}.win": windowed for at in sliding},
    }


def judged(config: Any, layers: dict[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The least memory that vLLM accepts for one sequence, and what it makes of `kv_bytes`."""
    rules = importlib.import_module("vllm.v1.core.kv_cache_utils")
    config.model_config.max_model_len = asked["tokens"]
    config.scheduler_config.max_num_batched_tokens = asked["step_tokens"]

    def planned(size: int) -> Any:
        return rules.get_kv_cache_configs(config, [dict(layers)], [size])[0]

    def starts(size: int) -> bool:
        try:
            planned(size)
        except ValueError as problem:
            assert "To serve at least one request" in str(problem) or "No available memory" in str(problem), problem
            return False
        return True

    refused, accepted = 0, MOST
    sizes = [asked["guess"], asked["guess"] - 1]  # a right guess spares the halving
    while accepted - refused > 1:
        size = sizes.pop(0) if sizes else (refused + accepted) // 2
        refused, accepted = (refused, size) if starts(size) else (size, accepted)
    told: dict[str, Any] = {"least": accepted}
    if "kv_bytes" in asked:
        pool = planned(asked["kv_bytes"])
        told["concurrency"] = rules.get_max_concurrency_for_kv_cache_config(config, pool)
        told["held"] = held(config, pool, asked)
    return told


def held(config: Any, pool: Any, asked: Mapping[str, Any]) -> int:
    """How many sequences of full length vLLM's manager of blocks takes, one after another, before it says no."""
    rules = importlib.import_module("vllm.v1.core.kv_cache_utils")
    request, sampling = (importlib.import_module(name) for name in ("vllm.v1.request", "vllm.sampling_params"))
    block = config.cache_config.block_size
    manager = importlib.import_module("vllm.v1.core.kv_cache_manager").KVCacheManager(
        rules.generate_scheduler_kv_cache_config([pool]), asked["tokens"], block, block,
        max_in_flight_tokens=asked["step_tokens"], enable_caching=False,
    )  # fmt: skip
    for number in range(1_000_000):
        one = request.Request(str(number), [1] * asked["tokens"], sampling.SamplingParams(), None)
        while left := asked["tokens"] - one.num_computed_tokens:
            step = min(left, asked["step_tokens"])
            if manager.allocate_slots(one, step) is None:
                return number
            one.num_computed_tokens += step
    raise AssertionError("no end")


def kinds_of(layers: Mapping[str, Any]) -> dict[str, Any]:
    """The layers counted under the names of deployment.checkpoint.kv_cache.Attention."""
    windows = Counter(getattr(spec, "sliding_window", None) for spec in layers.values())
    (heads, head_dim), *others = {(spec.num_kv_heads, spec.head_size) for spec in layers.values()}
    window, *more = {*windows} - {None} or {None}
    assert not others and not more, "layers of more than one size or window"
    full = windows.pop(None, 0)
    return {
        "full_layers": full, "sliding_layers": windows.total(), "sliding_window": window,
        "kv_heads": heads, "head_dim": head_dim,
    }  # fmt: skip


def main() -> None:
    asked = json.load(sys.stdin)
    scratch = Path(asked["scratch"])
    for name, module in MODULES.items():  # or vLLM would import itself again, in a process of its own, to look at each
        found = getattr(importlib.import_module(f"vllm.model_executor.models.{module}"), name)
        importlib.import_module("vllm").ModelRegistry.register_model(name, found)
    state = importlib.import_module("vllm.distributed.parallel_state")
    answers: dict[str, Any] = {"checkpoints": {}}
    for name, case in asked["checkpoints"].items():
        config = engine_config(scratch / name, case["config"], dtype=case["dtype"], **case["options"])
        if not answers["checkpoints"]:
            with importlib.import_module("vllm.config").set_current_vllm_config(config):
                state.init_distributed_environment(1, 0, f"file://{scratch}/meeting", 0, "gloo")
                state.initialize_model_parallel(1, 1)
            importlib.import_module("vllm.v1.core.single_type_kv_cache_manager").register_all_kvcache_specs(config)
        layers = built_layers(config)
        lengths = [judged(config, layers, length)["least"] for length in case["lengths"]]
        answers["checkpoints"][name] = {"layers": kinds_of(layers), "least": lengths}
    answers["shapes"] = [judged(config, given_layers(config, shape), shape) for shape in asked["shapes"]]
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
