"""Whether the tensors of a checkpoint are those that its configuration speaks of: each layer's, in the sizes it says.

vLLM 0.32 looks for missing weights in unquantized models only, and for sizes while it loads.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from deployment.checkpoint.quantization import FUSED, Quantization, is_converted
from deployment.checkpoint.shape import Shape
from deployment.checkpoint.tensors import PACKED, PER_WORD, Tensor, few, inputs_axis, kind_of, width_of

LAYER = re.compile(r"(?P<layer>.*\blayers\.\d+)\.(?P<rest>.+)")
PLAIN = frozenset({"F32", "F16", "BF16"})
TAKE = "Take another export of the model"
Modules = Mapping[str, Mapping[str, Tensor]]


def stored_problems(tensors: Mapping[str, Tensor], shape: Shape, quantization: Quantization | None) -> Iterator[str]:
    """Say what is missing, of another size, or stored otherwise than vLLM will read it; one sentence for each kind."""
    modules = _modules(tensors)
    layers = sorted({match["layer"] for name in modules if (match := LAYER.fullmatch(name))})
    missing, sizes, kinds, halves = [], [], [], []
    for layer in layers:
        for name, outputs, inputs in linears(shape):
            module = f"{layer}.{name}"
            found = modules.get(module, {})
            said = _size(found, quantization)
            if said is None:
                missing.append(module)
            elif said != (outputs, inputs):
                sizes.append((module, said, (outputs, inputs)))
            elif not _as_read(module, found, quantization):
                kinds.append(module)
        missing += [f"{layer}.{norm}" for norm in norms(shape) if "weight" not in modules.get(f"{layer}.{norm}", {})]
        halves += _halves(layer, modules)
    missing += _ends(modules, shape, quantization, sizes)
    if missing:
        yield f"tensors that each layer needs are missing: {few(missing)}. {TAKE}."
    for module, said, wanted in sizes[:1]:
        yield (
            f"{module}: {wanted[0]} outputs of {wanted[1]} inputs by config.json, got {said[0]} of {said[1]}. {TAKE}, "
            "or correct config.json."
        )
    if kinds:
        yield f"layers that config.json calls quantized and the files do not: {few(kinds)}. {TAKE}."
    if halves:
        yield f"layers that vLLM computes as one are quantized in part, got {few(halves)} in 16 bits. {TAKE}."


def type_problems(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Say where weights that are not packed are of a type that only quantized ones have."""
    found = {name["weight"].dtype for name in _modules(tensors).values() if "weight" in name}
    if strange := sorted(found - PLAIN):
        yield f"weights that no engine here computes with as they are, got {', '.join(strange)}. {TAKE}, in bfloat16."


def linears(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """Name the projections of one layer, as published checkpoints of these classes do, with outputs and inputs."""
    hidden, head = shape.hidden_size, shape.head_dim
    query, key = shape.num_attention_heads * head, shape.num_key_value_heads * head
    if shape.architecture == "Phi3ForCausalLM":
        yield "self_attn.qkv_proj", query + 2 * key, hidden
        yield "mlp.gate_up_proj", 2 * shape.intermediate_size, hidden
    else:
        yield from (("self_attn.q_proj", query, hidden), ("self_attn.k_proj", key, hidden))
        yield from (("self_attn.v_proj", key, hidden), ("mlp.gate_proj", shape.intermediate_size, hidden))
        yield "mlp.up_proj", shape.intermediate_size, hidden
    yield from (("self_attn.o_proj", hidden, query), ("mlp.down_proj", hidden, shape.intermediate_size))


def norms(shape: Shape) -> tuple[str, ...]:
    """Name the norms of one layer."""
    found: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    if shape.architecture.startswith("Gemma3"):
        found += ("pre_feedforward_layernorm", "post_feedforward_layernorm")
    if shape.architecture.startswith(("Gemma3", "Qwen3")):
        found += ("self_attn.q_norm", "self_attn.k_norm")
    return found


def _modules(tensors: Mapping[str, Tensor]) -> Modules:
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if kind_of(name, tensor) != "image_tower":
            module, _, last = name.rpartition(".")
            found.setdefault(module, {})[last] = tensor
    return found


def _size(found: Mapping[str, Tensor], quantization: Quantization | None) -> tuple[int, int] | None:
    """Outputs and inputs of a linear layer with all that belongs to it; None where something is not there."""
    plain = found.get("weight")
    if plain is not None:
        return (plain.shape[0], plain.shape[1]) if len(plain.shape) == 2 else (0, 0)
    if quantization is None:
        return None
    last, axis = PACKED[quantization.method]
    packed = found.get(last)
    beside = ("weight_scale",) if quantization.method == "compressed-tensors" else ("scales", "qzeros")
    if packed is None or any(name not in found for name in beside):
        return None
    if len(packed.shape) != 2:
        return (0, 0)
    outputs = 1 - inputs_axis(quantization)
    return packed.shape[outputs] * (PER_WORD if outputs == axis else 1), width_of(packed, quantization)


def _as_read(module: str, found: Mapping[str, Tensor], quantization: Quantization | None) -> bool:
    """Whether a layer is stored as vLLM will look for it. Of AWQ and GPTQ without lists it asks the tensors."""
    if quantization is None or "weight" not in found or not is_converted(module, quantization):
        return True
    has_list = bool(quantization.not_converted or quantization.converted)
    return quantization.method != "compressed-tensors" and not has_list


def _halves(layer: str, modules: Modules) -> list[str]:
    left: list[str] = []
    for block, parts in FUSED:
        names = [f"{layer}.{block}.{part}" for part in parts]
        plain = [name for name in names if "weight" in modules.get(name, {})]
        left += plain if len(plain) < len([name for name in names if name in modules]) else []
    return left


def _ends(
    modules: Modules,
    shape: Shape,
    quantization: Quantization | None,
    sizes: list[tuple[str, tuple[int, int], tuple[int, int]]],
) -> Sequence[str]:
    """What stands before the first layer and behind the last."""
    wanted, missing = (shape.vocab_size, shape.hidden_size), []
    ends = {"embed_tokens": None, **({} if shape.tie_word_embeddings else {"lm_head": quantization})}
    for end, stored in ends.items():
        name = next((name for name in modules if name.rpartition(".")[2] == end), end)
        said = _size(modules.get(name, {}), stored)
        if said is None:
            missing.append(end)
        elif said != wanted:
            sizes.append((name, said, wanted))
    if not any(name.rpartition(".")[2] == "norm" and not LAYER.match(f"{name}.") for name in modules):
        missing.append("norm")
    return missing
