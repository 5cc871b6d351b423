"""What a checkpoint's tensors weigh: in its files, and in memory once an engine has loaded them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Literal

from pydantic import Field

from deployment.checkpoint.quantization import Quantization, is_converted
from deployment.frozen import Frozen

Kind = Literal["linear", "embedding", "head", "image_tower", "other"]
Amount = Annotated[int, Field(ge=0, strict=True)]

# Bits of one element, by safetensors' own names.
BITS = {
    **{f"F{bits}": bits for bits in (16, 32, 64)},
    **{f"{kind}{bits}": bits for kind in "IU" for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "BOOL"), 8),
    "BF16": 16,
}
# The tensor that holds a quantized layer's weights, and the axis along which it packs eight into an int32: AWQ along
# the outputs, GPTQ and compressed-tensors along the inputs.
PACKED = {"awq": ("qweight", 1), "gptq": ("qweight", 0), "compressed-tensors": ("weight_packed", 1)}
# What else a quantized layer has, none of which outlives loading: scales and zero points go into our own layout.
BESIDE = frozenset({"qzeros", "scales", "g_idx", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"})
PER_WORD = 8
# The largest that divides a layer's width, of those that our packed layout and axion_w4 know (kernels, linear_w4.h).
GROUPS = (128, 64, 32)
IMAGE_TOWER = ("vision_tower", "vision_model", "visual", "multi_modal_projector", "mm_projector")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a safetensors header."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.elements * BITS.get(self.dtype, 8) // 8


class Part(Frozen):
    """Tensors of one kind: how many weights they are, and their bytes in the files."""

    parameters: Amount
    size: Amount


class Tensors(Frozen):
    """All tensors of a checkpoint, counted once."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    """Of all names, types and shapes: equal digests are equal tensors. None where nobody has listed them yet."""
    parts: Mapping[Kind, Part]
    int4: Mapping[int, Amount] = {}
    """Weights that the files hold in 4 bits, by the group that shares a scale once they are loaded."""
    convertible: Mapping[int, Amount] = {}
    """Weights that axion_w4 would make 4-bit, by the group it would take."""

    @property
    def size(self) -> int:
        """Bytes of all tensors in the files."""
        return sum(part.size for part in self.parts.values())

    def loaded_bytes(self, element_bytes: int, *, is_online_int4: bool = False) -> int:
        """Bytes in an engine's memory. Whatever is not 4-bit becomes elements of the engine's own type."""
        plain = sum(part.parameters for part in self.parts.values()) - self._int4(is_online_int4).total()
        return plain * element_bytes + self.int4_bytes(is_online_int4=is_online_int4)

    def int4_bytes(self, *, is_online_int4: bool = False) -> int:
        """Bytes of what is 4-bit in an engine's memory."""
        return sum(packed_bytes(count, group) for group, count in self._int4(is_online_int4).items())

    def _int4(self, is_online_int4: bool) -> Counter[int]:
        packed = Counter(self.int4)
        if is_online_int4:
            packed.update(self.convertible)
        return packed


def packed_bytes(parameters: int, group: int) -> int:
    """Bytes of 4-bit weights as our kernels hold them: per group a word with scale and zero point, and the nibbles.

    kernels/include/axion/linear_w4.h, w4_group_bytes.
    """
    return parameters // group * (4 + group // 2)


def weigh(
    tensors: Mapping[str, Tensor], quantization: Quantization | None, *, is_tied: bool, digest: str | None = None
) -> Tensors:
    """Count tensors by kind. A head that is the embedding's own tensor is not counted again where files repeat it."""
    counted: dict[Kind, list[int]] = defaultdict(lambda: [0, 0])
    int4: Counter[int] = Counter()
    convertible: Counter[int] = Counter()
    for name, tensor in tensors.items():
        last = name.rpartition(".")[2]
        kind = kind_of(name, tensor)
        if kind == "head" and is_tied and not (quantization and quantization.quantizes_head):
            continue
        parameters = tensor.elements
        if quantization is not None and last == PACKED[quantization.method][0]:
            parameters = tensor.elements * PER_WORD
            int4[loaded_group(width_of(tensor, quantization), quantization.group_size)] += parameters
        elif last in BESIDE and quantization is not None:
            parameters = 0
        elif kind == "linear" and (group := loaded_group(tensor.shape[-1], -1)):
            convertible[group] += parameters
        counted[kind][0] += parameters
        counted[kind][1] += tensor.size
    return Tensors(
        digest=digest,
        parts={kind: Part(parameters=count, size=size) for kind, (count, size) in sorted(counted.items())},
        int4=dict(sorted(int4.items())),
        convertible=dict(sorted(convertible.items())),
    )


def tensor_problems(tensors: Mapping[str, Tensor], quantization: Quantization | None) -> Iterator[str]:
    """Say where tensors are not what the configuration says of them: vLLM would die while it loads."""
    unknown = sorted({tensor.dtype for tensor in tensors.values()} - BITS.keys())
    if unknown:
        yield f"tensors of a type that no engine here loads, got {', '.join(unknown)}. Take a bfloat16 or a 4-bit one."
    modules = _modules(tensors)
    packed = {module for module, names in modules.items() if names & {"qweight", "weight_packed"}}
    if quantization is None:
        if packed:
            yield (
                f"4-bit tensors, but config.json has no quantization_config, got {few(packed)}. "
                "Take a checkpoint that says how it was quantized."
            )
        return
    wanted = PACKED[quantization.method][0]
    left = {module for module in packed if not is_converted(module, quantization)}
    if left:
        yield f"4-bit tensors of layers that config.json leaves out, got {few(left)}. Take another export."
    if not any(wanted in names for names in modules.values()):
        said = f"config.json says {quantization.method}, but no layer is packed"
        yield f"{said}: none has {wanted}. Take another export."
        return
    if quantization.quantizes_head and not any(module.endswith("lm_head") for module in packed):
        # vLLM 0.32 would answer from memory that nobody filled.
        yield "config.json says that the output head is 4-bit, but lm_head is not packed. Take another export."
    yield from _group_problems(tensors, quantization)


def _group_problems(tensors: Mapping[str, Tensor], quantization: Quantization) -> Iterator[str]:
    last, _ = PACKED[quantization.method]
    scale = "weight_scale" if quantization.method == "compressed-tensors" else "scales"
    for name, tensor in tensors.items():
        module, _, own = name.rpartition(".")
        scales = tensors.get(f"{module}.{scale}")
        if own != last or scales is None:
            continue
        width = width_of(tensor, quantization)
        groups = scales.shape[1] if quantization.method == "compressed-tensors" else scales.shape[0]
        found = width // groups if groups else 0
        said = width if quantization.group_size == -1 else quantization.group_size
        if found != said:
            yield (
                f"{module}: groups of {said} by config.json, got {found} by its tensors. "
                "Take another export of the model."
            )
            return


def width_of(packed: Tensor, quantization: Quantization) -> int:
    """Return how many inputs a packed layer has."""
    _, axis = PACKED[quantization.method]
    inputs = inputs_axis(quantization)
    return packed.shape[inputs] * (PER_WORD if inputs == axis else 1)


def inputs_axis(quantization: Quantization) -> int:
    """Along which axis of a packed tensor a layer's inputs lie."""
    return 1 if quantization.method == "compressed-tensors" else 0


def loaded_group(width: int, group_size: int) -> int:
    """Return the group of the packed layout; 0 where the layer cannot be packed. -1 stands for whole rows."""
    if group_size in GROUPS:
        return group_size
    return next((group for group in GROUPS if width % group == 0), 0)


def kind_of(name: str, tensor: Tensor) -> Kind:
    """Tell from a tensor's name what it is, as published checkpoints name them."""
    parts = name.split(".")
    if any(part in IMAGE_TOWER for part in parts):
        return "image_tower"
    if "lm_head" in parts:
        return "head"
    if "embed_tokens" in parts:
        return "embedding"
    is_matrix = len(tensor.shape) == 2
    return "linear" if is_matrix or parts[-1] in BESIDE else "other"


def _modules(tensors: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for name in tensors:
        module, _, last = name.rpartition(".")
        found[module].add(last)
    return found


def few(names: Iterable[str]) -> str:
    """Name the first two, and how many more there are."""
    ordered: Sequence[str] = sorted(names)
    return ", ".join(ordered[:2]) + (f" and {len(ordered) - 2} more" if len(ordered) > 2 else "")
