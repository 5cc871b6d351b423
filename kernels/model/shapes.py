"""The models that are served, as kernels see them: the shapes in models.lock.json, and what their classes add."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parents[2] / "models.lock.json"

# config.json's keys, beside the shape, that change what is computed in a step of text.
PHI3_ROTARY = 0.75  # of a head's values
PHI3 = {
    "model_type": "phi3", "hidden_act": "silu", "rms_norm_eps": 1e-5, "partial_rotary_factor": PHI3_ROTARY,
    "original_max_position_embeddings": 4096,
    "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [1.0] * 48},
}  # fmt: skip
QWEN2 = {"model_type": "qwen2", "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0}
MISTRAL = {"model_type": "mistral", "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 1000000.0}
GEMMA3 = {
    "model_type": "gemma3_text", "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6,
    "query_pre_attn_scalar": 168, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
}  # fmt: skip
CLASSES = {
    "Phi3ForCausalLM": ("Phi3ForCausalLM", PHI3),
    "Qwen2ForCausalLM": ("Qwen2ForCausalLM", QWEN2),
    "MistralForCausalLM": ("MistralForCausalLM", MISTRAL),
    "Gemma3ForConditionalGeneration": ("Gemma3ForCausalLM", GEMMA3),  # its language model alone
}
ONLINE_GROUP = 128  # of a checkpoint in bfloat16, which `axion_w4` rounds


@dataclass(frozen=True)
class Shape:
    name: str
    architecture: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    window: int | None
    windowed_layers: int
    tied: bool
    group: int

    @property
    def is_gemma(self) -> bool:
        return self.architecture.startswith("Gemma3")

    @property
    def rotary(self) -> int:
        """Of each head's values, those that turn."""
        return int(self.head_dim * PHI3_ROTARY) if "Phi3" in self.architecture else self.head_dim

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Outputs and inputs of a layer's linear layers."""
        attention = self.heads * self.head_dim
        return {
            "qkv": (attention + 2 * self.kv_heads * self.head_dim, self.hidden),
            "o": (self.hidden, attention),
            "gate and up": (2 * self.intermediate, self.hidden),
            "down": (self.hidden, self.intermediate),
        }

    def config(self) -> dict[str, Any]:
        """A config.json for vLLM: int4 in AWQ's layout, as three of the four are and the fourth becomes."""
        architecture, more = CLASSES[self.architecture]
        return {
            "architectures": [architecture], "hidden_size": self.hidden, "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers, "num_attention_heads": self.heads, "head_dim": self.head_dim,
            "num_key_value_heads": self.kv_heads, "vocab_size": self.vocabulary, "tie_word_embeddings": self.tied,
            "sliding_window": self.window, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
            "quantization_config": {
                "bits": 4, "group_size": self.group, "quant_method": "awq", "version": "gemm", "zero_point": True,
            },
            **more,
        }  # fmt: skip


def read_shapes(lock: Path = LOCK) -> list[Shape]:
    """One for each model of the lock file."""
    shapes = []
    for name, entry in json.loads(lock.read_text())["models"].items():
        checkpoint = entry["checkpoint"]
        shape = checkpoint["shape"]
        shapes.append(
            Shape(
                name=name,
                architecture=shape["architecture"],
                hidden=shape["hidden_size"],
                intermediate=shape["intermediate_size"],
                layers=shape["num_hidden_layers"],
                heads=shape["num_attention_heads"],
                kv_heads=shape["num_key_value_heads"],
                head_dim=shape["head_dim"],
                vocabulary=shape["vocab_size"],
                window=shape["sliding_window"],
                windowed_layers=shape["sliding_layers"],
                tied=shape["tie_word_embeddings"],
                group=checkpoint.get("quantization", {}).get("group_size", ONLINE_GROUP),
            )
        )
    return shapes
