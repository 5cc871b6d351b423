"""Packed weights that are made once: the first start converts and keeps them, later ones map what it kept.

AXION_PACKED names the directory. A file there is taken only if it was made from the same checkpoint by the same code
for the same layers, and if its bytes add up; in all other cases the engine converts, and says why. Layers whose weights
are mapped get no others: what a checkpoint has for them is not read, and the tensors that vLLM reserved for it are
never touched.
"""

import ctypes
import hashlib
import json
import logging
import mmap
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from vllm import __version__ as vllm_version
from vllm.config import ModelConfig, VllmConfig
from vllm.distributed import get_tensor_model_parallel_rank
from vllm.model_executor import model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info

from axion_kernels import linear_w4, lm_head, online_w4, operators, report
from axion_kernels.packed_file import PackedFile, PackedFileError, Weight, keep_newest, make_file, name_of, open_file
from axion_kernels.packed_layer import PackedLayer
from axion_kernels.switches import Switches

VARIABLE = "AXION_PACKED"
KEPT_BEFORE = 1
"""Of the files used before, how many stay: a rollback finds its own."""
CHECKPOINT_MANIFEST = ".axion-manifest.json"
"""What the agent writes beside a checkpoint's files once it has compared their digests (agent/weights.py)."""
WORD = 8

logger = logging.getLogger("vllm.axion_kernels")

_switches = Switches(enabled=frozenset())


def install(switches: Switches) -> None:
    """Stand in for vLLM's loader of checkpoints."""
    global _switches  # noqa: PLW0603  # vLLM constructs the loader and passes it nothing of ours
    _switches = switches
    loaders = model_loader._LOAD_FORMAT_TO_MODEL_LOADER
    loaders.update({name: PackedLoader for name, loader in loaders.items() if loader is DefaultModelLoader})


class PackedLoader(DefaultModelLoader):  # vLLM's classes have no types here
    _place: "Place | None" = None
    _is_mapped = False

    def load_model(self, vllm_config: VllmConfig, model_config: ModelConfig, prefix: str = "") -> torch.nn.Module:
        """Load as ever, and keep what had to be converted."""
        with report.written_at_end():
            is_local = Path(model_config.model).is_dir()  # and no name of a repository, whose files nobody compares
            self._place = Place.of(vllm_config, model_config) if is_local else None
            model = super().load_model(vllm_config=vllm_config, model_config=model_config, prefix=prefix)
            if self._place is not None and not self._is_mapped:
                keep(model, self._place)
            self._place = None  # whoever loads into this model again has other weights
        return model

    def load_weights(self, model: torch.nn.Module, model_config: ModelConfig) -> None:
        """Read the checkpoint, but for what is mapped."""
        if self._place is not None:
            self._is_mapped = take(model, self._place)
        super().load_weights(model, model_config)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the packed weights of one model belong, and what they are made from."""

    directory: Path
    role: str
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, vllm_config: VllmConfig, model_config: ModelConfig) -> "Place":
        """Collect whatever decides a single byte of them."""
        parallel = vllm_config.parallel_config
        rank = get_tensor_model_parallel_rank() if parallel.tensor_parallel_size > 1 else 0
        facts = {
            "checkpoint": checkpoint_facts(Path(model_config.model)),
            "model configuration": _digest(model_config.hf_config.to_json_string(use_diff=False).encode()),
            "quantization": model_config.quantization,
            "dtype": str(model_config.dtype),
            "tensor parallel": [rank, parallel.tensor_parallel_size],
            "kernels": sorted(_switches.enabled & {"linear_w4", "axion_w4", "lm_head"}),
            "instructions": operators.isa(),
            "axion_kernels": package_digest(),
            "torch": torch.__version__,
            "vllm": vllm_version,
        }
        role = "model" if model_config is vllm_config.model_config else "draft"
        return cls(Path(os.environ[VARIABLE]), f"{role}{rank}", facts)

    @property
    def path(self) -> Path:
        return self.directory / name_of(self.role, self.facts)


def checkpoint_facts(directory: Path) -> dict[str, list[int | str | None]]:
    """The files of a checkpoint: by the digests that the agent compared, and by what a replaced file changes."""
    digests: Mapping[str, Any] = {}
    with suppress(OSError, ValueError, KeyError):
        digests = json.loads((directory / CHECKPOINT_MANIFEST).read_text(encoding="utf-8"))["files"]
    facts: dict[str, list[int | str | None]] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            about, name = path.stat(), path.relative_to(directory).as_posix()
            facts[name] = [about.st_size, about.st_mtime_ns, digests.get(name, {}).get("sha256")]
    return facts


def package_digest() -> str:
    """Name the code that packs, by every byte of this package."""
    files = sorted(path for path in Path(__file__).parent.glob("*") if path.suffix in (".py", ".so"))
    return _digest(b"".join(path.name.encode() + hashlib.sha256(path.read_bytes()).digest() for path in files))


def packed_layers(model: torch.nn.Module) -> Iterator[tuple[str, PackedLayer]]:
    """Every layer whose weights we pack, before they are loaded as after."""
    if getattr(model, "secondary_weights", ()):
        return  # of files elsewhere, which nobody compares
    for name, layer in model.named_modules():
        for kind in (linear_w4, online_w4, lm_head):
            if (found := kind.packed_layer(layer)) is not None:
                yield name, found


def take(model: torch.nn.Module, place: Place) -> bool:
    """Have every layer use its mapped weights, or none of them."""
    layers = dict(packed_layers(model))
    if not layers:
        return False
    began = time.monotonic()
    try:
        file = open_file(place.path, place.facts)
        needed, kept = ({name: dict(each.recipe) for name, each in of.items()} for of in (layers, file.entries))
        if needed != kept:
            different = sorted(name for name in {*needed, *kept} if needed.get(name) != kept.get(name))
            raise PackedFileError(f"{place.path.name}: made for other layers: {', '.join(different[:3])}")
        weights = mapped_weights(file)
    except FileNotFoundError:
        return _converting("none were made from this checkpoint with these settings yet")
    except PackedFileError as error:
        return _converting(str(error))
    with suppress(OSError):
        os.utime(place.path)  # keep_newest goes by it
    keep_newest(place.directory, place.role, 1 + KEPT_BEFORE)
    for name, layer in layers.items():
        for source in layer.sources:
            getattr(layer.module, source).weight_loader = _leave_unread
        get_layerwise_info(layer.module).reset()  # of online quantization, which waits for a layer's last weight
        layer.take(weights[name])
    is_locked = _lock(file.pages)
    report.tell(report.Packed("mapped", bytes=len(file.pages), file=place.path.name, locked=is_locked))
    logger.info(
        "axion_kernels: packed weights: mapped for %d layers, %.2f GB read and added up in %.1f s%s",
        len(layers), len(file.pages) / 1e9, time.monotonic() - began,
        "" if is_locked else "; not locked, so that the kernel may drop them where memory is short",
    )  # fmt: skip
    return True


def _converting(reason: str) -> bool:
    report.tell(report.Packed("converted", reason=reason))
    logger.info("axion_kernels: packed weights: converting, for %s", reason)
    return False


def _leave_unread(*_: Any, **__: Any) -> None:
    """Stand in for the loader of a weight that nobody needs."""


def mapped_weights(file: PackedFile) -> dict[str, torch.Tensor]:
    """Tensors over the mapped pages, which nobody can write. Raises PackedFileError where bytes do not add up."""
    with suppress(OSError):
        file.pages.madvise(mmap.MADV_WILLNEED)  # so that the disk is read in large pieces, ahead of the addition
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        content = torch.frombuffer(file.pages, dtype=torch.uint8)
    weights = {name: content[entry.begin : entry.begin + entry.size] for name, entry in file.entries.items()}
    damaged = [name for name, entry in file.entries.items() if total_of(weights[name]) != entry.total]
    if damaged:
        raise PackedFileError(f"{damaged[0]} is damaged, and {len(damaged) - 1} more")
    return weights


def total_of(weight: torch.Tensor) -> int:
    """The sum that packed_file.Weight describes."""
    whole = weight.numel() // WORD * WORD
    total = int(weight[:whole].view(torch.int64).sum()) + int.from_bytes(bytes(weight[whole:].tolist()), "little")
    return total % (1 << 64)


def _lock(pages: mmap.mmap) -> bool:
    """Keep the pages in memory, as memory of one's own would be: without this they go first where it is short."""
    address = torch.frombuffer(pages, dtype=torch.uint8).data_ptr()
    return ctypes.CDLL(None).mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(pages))) == 0


def keep(model: torch.nn.Module, place: Place) -> None:
    """Write down what was converted; where that fails the engine serves all the same."""
    layers = dict(packed_layers(model))
    if not layers:
        return
    began = time.monotonic()
    weights = {}
    for name, layer in layers.items():
        packed = layer.packed()
        weights[name] = Weight(layer.recipe, memoryview(packed.numpy()), total_of(packed))
    keep_newest(place.directory, place.role, KEPT_BEFORE)
    try:
        size = make_file(place.path, place.facts, weights)
    except PackedFileError as error:
        report.tell(report.Packed("converted", reason=f"they could not be kept: {error}"))
        logger.warning("axion_kernels: packed weights: not kept, so the next start converts again: %s", error)
        return
    report.tell(report.Packed("made", bytes=size, file=place.path.name))
    logger.info(
        "axion_kernels: packed weights: made for %d layers, %.2f GB written in %.1f s; the next start maps them",
        len(layers), size / 1e9, time.monotonic() - began,
    )  # fmt: skip


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
