"""config.json of small models, with the keys that published ones have. Dummy weights are enough to start them."""

from typing import Any

DECODER = {
    "hidden_act": "silu", "hidden_size": 256, "intermediate_size": 64, "max_position_embeddings": 131072,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 32, "vocab_size": 512, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
LONGROPE = {"type": "longrope", "short_factor": [1.0] * 12, "long_factor": [1.0] * 12}
PICTURES = {
    "model_type": "siglip_vision_model", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "image_size": 56, "patch_size": 14, "vision_use_head": False,
}  # fmt: skip


def checkpoint(architecture: str, kind: str, layers: int, **more: Any) -> dict[str, Any]:
    return {**DECODER, "architectures": [architecture], "model_type": kind, "num_hidden_layers": layers, **more}


def llama(**more: Any) -> dict[str, Any]:
    return checkpoint("LlamaForCausalLM", "llama", 4, **more)


def mistral(**more: Any) -> dict[str, Any]:
    return checkpoint("MistralForCausalLM", "mistral", 4, **more)


def qwen2(**more: Any) -> dict[str, Any]:
    return checkpoint("Qwen2ForCausalLM", "qwen2", 4, **more)


def phi3(**more: Any) -> dict[str, Any]:
    rope = {"rope_scaling": LONGROPE, "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75}
    return checkpoint("Phi3ForCausalLM", "phi3", 4, **rope, **more)


def gemma3(layers: int, **more: Any) -> dict[str, Any]:
    about = {"hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 32, "sliding_window": 1024, **more}
    return checkpoint("Gemma3ForCausalLM", "gemma3_text", layers, **about)


def gemma3_with_pictures(layers: int) -> dict[str, Any]:
    marks = {"image_token_index": 6, "boi_token_index": 7, "eoi_token_index": 8, "mm_tokens_per_image": 4}
    architecture = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}
    return {**architecture, **marks, "text_config": gemma3(layers), "vision_config": PICTURES}
