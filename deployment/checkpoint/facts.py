"""One checkpoint's facts, as a lock file keeps them."""

from collections.abc import Mapping

from deployment.checkpoint.families import Family
from deployment.checkpoint.quantization import Quantization
from deployment.checkpoint.shape import Shape
from deployment.checkpoint.tensors import Tensors
from deployment.frozen import Frozen


class Checkpoint(Frozen):
    """What sizing, rules and rendering know of a model beyond what models.yaml says."""

    shape: Shape
    quantization: Quantization | None = None
    """How the checkpoint itself is quantized; None where its weights are as they were trained."""
    tensors: Tensors
    hf_overrides: Mapping[str, int] = {}
    """What vLLM must be told of the context that it does not see in config.json."""
    long_from: int | None = None
    """The context above which longrope changes answers to short prompts too: tokens."""
    parsers: Family = Family()
    """Of tool calls and of reasoning, as far as vLLM has them for what the chat template taught the model."""

    @property
    def has_packed_head(self) -> bool:
        """Whether the output head is 4-bit like the other layers."""
        return self.quantization is not None and self.quantization.quantizes_head
