"""Whether the tensors of a checkpoint make up all of its layers, told from their names alone."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LAYER = re.compile(r"(?:^|\.)(?:layers|layer|blocks|block|h)\.(\d+)\.")
# Towers beside the language model, and layers for drafts, which have numbers of their own.
BESIDE = re.compile(r"vis|image|img|audio|speech|sound|mtp|draft")
TEXT = ("text_config", "llm_config", "language_config")
COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
KINDS = ("layer_types", "layers_block_type")
EMBEDDING, HEAD = re.compile(r"emb|wte"), re.compile(r"lm_head|embed_out|(^|\.)(output|head)\.")
MOST_LAYERS = 1000
RARE = 2
"""Layers cut in two by a file that is missing: the last one before it and the first one after it."""
Layers = Mapping[int, frozenset[str]]
Settings = Mapping[str, Any]
"""config.json, which is anybody's: what of it is asked for may be missing, or of any type."""


def layer_problems(config: Settings, tensors: Iterable[str]) -> Iterator[str]:
    """Say which layers are missing or half there."""
    names = set(tensors)
    text = next((config[key] for key in TEXT if isinstance(config.get(key), dict)), config)
    towers = _towers(names)
    spoken = {prefix: layers for prefix, layers in towers.items() if not BESIDE.search(prefix)} or towers
    main = max(spoken, key=lambda prefix: len(spoken[prefix]), default="")
    count = next((text[key] for key in COUNTS if isinstance(text.get(key), int)), 0)
    if count > MOST_LAYERS:
        yield f"a number of layers that no model has, got {count}"
        return
    if main or count > 1:
        towers.setdefault(main, {})
    for prefix, layers in sorted(towers.items()):
        wanted = count if prefix == main else max(layers) + 1
        if missing := sorted(set(range(wanted)) - layers.keys()):
            yield f"layers are missing, got {len(layers)} of {wanted} in {prefix or 'it'} without {_ranges(missing)}"
        kinds: list[Any] = (
            next((text[key] for key in KINDS if isinstance(text.get(key), list)), []) if prefix == main else []
        )
        if "block_configs" not in text:  # there each layer says by itself what it consists of
            yield from _half(prefix, layers, kinds, is_main=prefix in spoken)
    yield from _ends(config, text, names)


def _towers(names: Iterable[str]) -> dict[str, dict[int, frozenset[str]]]:
    """For each run of numbered layers, by what stands before the number, what each layer consists of."""
    found: dict[str, dict[int, set[str]]] = {}
    for name in names:
        if match := LAYER.search(name):
            prefix, number, rest = name[: match.start(1) - 1], int(match[1]), name[match.end() :]
            found.setdefault(prefix, {}).setdefault(number, set()).add(rest)
    return {prefix: {number: frozenset(rest) for number, rest in each.items()} for prefix, each in found.items()}


def _half(prefix: str, layers: Layers, kinds: list[Any], *, is_main: bool) -> Iterator[str]:
    """Layers that have some of what others of their kind have, and nothing that those have not.

    A dense layer among mixtures of experts has tensors of its own: it is another kind, not half of one.
    """
    groups: dict[Any, list[int]] = {}
    for number in sorted(layers):
        groups.setdefault(kinds[number] if number < len(kinds) else None, []).append(number)
    for group in groups.values():
        counts = Counter(layers[number] for number in group)
        usual = max(counts, key=lambda each: (counts[each], len(each)))
        if not is_main and counts[usual] * 2 <= len(group):
            continue  # stages that differ by design, as some image towers have
        for number in group:
            if layers[number] < usual and counts[layers[number]] <= min(RARE, counts[usual]):
                lacking = sorted(usual - layers[number])
                yield f"{prefix}.{number} lacks what the other layers have: {lacking[0]} ({len(lacking)} in all)"


def _ends(config: Settings, text: Settings, names: set[str]) -> Iterator[str]:
    """What stands before the first layer and behind the last."""
    if not any(EMBEDDING.search(name) for name in names):
        yield f"the token embedding is missing, got {len(names)} other tensors"
    ties = [each["tie_word_embeddings"] for each in (config, text) if each.get("tie_word_embeddings") is not None]
    if ties and not any(ties) and not any(HEAD.search(name) for name in names):
        yield "the output head is missing, got tie_word_embeddings: false without lm_head"


def _ranges(numbers: list[int]) -> str:
    """4, 7 to 9: for people."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    said = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:3]]
    return ", ".join(said) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")
