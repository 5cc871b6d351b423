"""Which kernels are on: the variable AXION_KERNELS, or what helps without being asked."""

import os
from dataclasses import dataclass

VARIABLE = "AXION_KERNELS"

# The kernel and what it does; the order is that of the report.
KERNELS = {
    "linear_w4": "AWQ, GPTQ and compressed-tensors W4A16 linear layers",
    "axion_w4": "the online quantization `axion_w4`",
    "sampler": "greedy, top-k, top-p and random sampling without sorting the vocabulary",
    "penalties": "repetition, frequency and presence penalties without masks of the vocabulary",
    "speculation": "speculative decoding that draws what would be drawn without it",
    "lm_head": "int8 weights for the output projection",
    "rms_norm": "RMSNorm",
    "gemma_rms_norm": "Gemma's RMSNorm",
    "rotary_embedding": "rotary position embedding",
    "silu_and_mul": "SwiGLU's activation",
    "gelu_and_mul": "GeGLU's activation, the tanh form",
}

# Off unless asked for: lm_head rounds weights that the checkpoint left alone, and for rotary embedding vLLM has a
# compiled kernel of its own that works in place.
DEFAULT = frozenset(KERNELS) - {"lm_head", "rotary_embedding"}
# On by default also where torch.compile would generate a loop: it stands between two linear layers that nothing fuses
# with, calls an exponential for each four values, and one token keeps it on one core.
COMPILED = frozenset({"silu_and_mul", "gelu_and_mul"})
# Measured in eager mode on x86: without vector instructions of our own, torch's exponentials are three times as fast.
NEED_VECTORS = frozenset({"silu_and_mul", "gelu_and_mul"})


@dataclass(frozen=True, slots=True)
class Switches:
    enabled: frozenset[str]
    # By the user rather than on by default: then also where torch.compile would have fused the operation.
    named: frozenset[str] = frozenset()

    @property
    def compiled(self) -> frozenset[str]:
        """Which of them act where torch.compile is at work."""
        return self.enabled & (COMPILED | self.named)

    @classmethod
    def from_environment(cls) -> "Switches":
        """Read `all`, `none`, a comma-separated list, or changes of the default such as `+lm_head,-sampler`.

        Unset and empty mean the default.
        """
        text = os.environ.get(VARIABLE, "").strip()
        if not text:
            return cls(enabled=DEFAULT)
        if text in ("all", "none"):
            text = ",".join(KERNELS if text == "all" else ())
        words = frozenset(word.strip() for word in text.split(",")) - {""}
        names = frozenset(word.lstrip("+-") for word in words)
        if unknown := names - KERNELS.keys():
            raise ValueError(
                f"{VARIABLE}: no such kernel, got {', '.join(sorted(unknown))}. "
                f"Use all, none, or a comma-separated list of {', '.join(KERNELS)}."
            )
        changes = {word for word in words if word[0] in "+-"}
        if not changes:
            return cls(enabled=names, named=names)
        if changes != words or len(names) < len(words):
            raise ValueError(
                f"{VARIABLE}: neither a list nor changes of the default, got {text}. Use + or - on each once."
            )
        added = frozenset(word[1:] for word in words if word[0] == "+")
        return cls(enabled=DEFAULT - names | added, named=added)

    def on(self, isa: str) -> "Switches":
        """Leave out what is only on by default and does not help with these instructions."""
        if isa != "portable":
            return self
        return Switches(enabled=self.enabled - (NEED_VECTORS - self.named), named=self.named)
