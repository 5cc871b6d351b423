"""Whether a checkpoint is whole, and which of its files an engine reads: from names, sizes and headers alone.

vLLM itself looks for missing weights in unquantized models only: of a quantized one it loads what is there, and answers
with nothing. Here every file and every layer is looked for. On a host and at a person's computer, for a listing of a
hub as for a directory.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.formats import ADAPTER, CONFIG, ENDING, NOT_NEEDED, WEIGHTS, another_kind, some
from agent.layers import Settings, layer_problems
from agent.protocol import CheckpointDescription, TensorShape
from agent.safetensors_header import POINTER_MAX_BYTES, Header, HeaderError, Tensor, is_pointer, read_header

INDEX = "model.safetensors.index.json"
# Where older exports say how they were quantized; vLLM asks for them in this order where config.json says nothing.
BESIDE = ("quant_config.json", "quantize_config.json", "hf_quant_config.json")
# Published ones have a few kilobytes, an index of a large model some megabytes; a repository is anybody's.
LONGEST = {INDEX: 1 << 26, **dict.fromkeys((CONFIG, *BESIDE), 1 << 20)}
MOST_SHARDS = 10_000
TEMPLATES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
SHARD = re.compile(r"(?P<kind>.+)-(?P<number>\d+)-of-(?P<count>\d+)\.safetensors")
NOT_NEEDED_BELOW = ("original", "onnx", "openvino", "coreml", "gguf")
Read = Callable[[str, int, int], bytes]
"""Bytes of a file: its path, where they begin, how many."""


@dataclass(frozen=True)
class Examined:
    """What a look at a checkpoint found."""

    problems: tuple[str, ...]
    needed: tuple[str, ...] = ()
    """Files that an engine reads, to be fetched; of use only without a problem."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The files that say what the checkpoint is."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def description(self) -> CheckpointDescription:
        """For the other end of a connection."""
        tensors = {name: TensorShape(tensor.dtype, tensor.shape) for name, tensor in self.tensors.items()}
        return CheckpointDescription(self.problems, self.needed, self.texts, tensors, self.digest)

    @property
    def digest(self) -> str:
        """Of all tensors' names, types and shapes: 16 hex digits."""
        listed = sorted((name, tensor.dtype, list(tensor.shape)) for name, tensor in self.tensors.items())
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def examine(sizes: Mapping[str, int], read: Read, remedy: str, *, also: Sequence[str] = ()) -> Examined:
    """Look at a checkpoint wherever it lies. Reads some hundred kilobytes of each file of weights, no tensor.

    `remedy` is the advice that ends each sentence for which there is no better one; `also` names further texts to read.
    """
    if long := [f"{path} is too long to be one, got {sizes[path]} bytes" for path in LONGEST if _is_long(path, sizes)]:
        return Examined(tuple(f"{each}. {remedy}" for each in long))
    asked = [path for path in (CONFIG, INDEX, *BESIDE, *also) if path in sizes and not _is_long(path, sizes)]
    texts = {path: read(path, 0, sizes[path]) for path in asked}
    try:
        named = weight_map(texts.get(INDEX))
    except ValueError:
        named = {}  # said below
    chosen = needed(sizes, named)
    small = {path: read(path, 0, sizes[path]) for path in chosen if _may_be_pointer(path, sizes.get(path, 0))}

    headers: dict[str, Header] = {}

    def header(path: str) -> Header:
        headers[path] = read_header(lambda start, count: read(path, start, count), sizes[path])
        return headers[path]

    found = problems(sizes, texts.get(CONFIG), texts.get(INDEX), header, remedy=remedy, small=small | texts)
    if found:
        return Examined(tuple(found))
    said = {
        path: text.decode(json.detect_encoding(text), errors="replace") for path, text in texts.items() if path != INDEX
    }
    tensors = {name: tensor for each in headers.values() for name, tensor in each.items()}
    return Examined((), tuple(chosen), said, tensors)


def examine_directory(folder: Path, remedy: str, *, also: Sequence[str] = ()) -> Examined:
    """Look at a directory that an engine shall load: headers and lengths are read, no digest made of content."""

    def read(path: str, start: int, count: int) -> bytes:
        with (folder / path).open("rb") as file:
            file.seek(start)
            return file.read(count)

    try:
        found = [path for path in (*folder.iterdir(), *folder.glob(f"*/*{ENDING}")) if path.is_file()]
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}
        return examine(sizes, read, remedy, also=also)
    except OSError as error:
        return Examined((f"cannot be read: {error}. {remedy}",))


def problems(
    sizes: Mapping[str, int],
    config: "str | bytes | None",
    index: "str | bytes | None",
    header_of: Callable[[str], Header],
    *,
    remedy: str,
    small: "Mapping[str, bytes] | None" = None,
) -> list[str]:
    """Say everything that is missing; nothing for a whole checkpoint. What follows from another problem is not said.

    `sizes` is all that is there, by path; `small` the content of files so short that they may be pointers.
    """
    if pointers := _pointers(small or {}):
        said = "is a pointer of git LFS in place of the file, got"
        return [f"{path} {said} {sizes[path]} bytes. {remedy}" for path in pointers]
    if kind := another_kind(sizes):
        return [kind]
    try:
        settings, named = _object(CONFIG, config), weight_map(index)
    except ValueError as error:
        return [f"{error}. {remedy}"]
    found, headers = list(_unlisted(sizes, named)), {}
    for shard in [] if found else shards(sizes, named):
        try:
            headers[shard] = header_of(shard)
        except HeaderError as error:
            found.append(f"{shard} {error}")
    if not found:
        tensors = [name for header in headers.values() for name in header]
        found = list(_index_problems(named, headers)) or list(layer_problems(settings, tensors))
    return [f"{each}. {remedy}" for each in found]


def weight_map(index: "str | bytes | None") -> Mapping[str, str]:
    """The file of each tensor, as the index says; empty where there is none. Raises ValueError with a sentence."""
    if index is None:
        return {}
    named = _object(INDEX, index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(file, str) for file in named.values()):
        raise ValueError(f"{INDEX} names no files of tensors, got {str(named)[:40]}")
    return named


def shards(paths: Iterable[str], named: Mapping[str, str]) -> list[str]:
    """The files of weights that vLLM loads: those of the index, else all beside config.json in the usual format."""
    if named:
        return sorted(set(named.values()))
    found = {path for path in paths if path.endswith(ENDING) and "/" not in path and not path.startswith("adapter_")}
    kinds = {_kind(path) for path in found}
    # Mistral's repositories hold every weight twice, and some hold a copy in another precision: model.fp16.safetensors.
    others = kinds - {kind for kind in kinds if kind.startswith("consolidated")}
    chosen = {kind for kind in others or kinds if not kind.rpartition(".")[0] or kind.rpartition(".")[0] not in kinds}
    return sorted(path for path in found if _kind(path) in chosen)


def needed(paths: Iterable[str], named: Mapping[str, str]) -> list[str]:
    """Choose what an engine reads. It never looks for weights or adapters in a folder, nor for a second config.json."""
    all_paths = list(paths)
    unread = {
        path.rpartition("/")[0]
        for path in all_paths
        if "/" in path and (path.lower().endswith(WEIGHTS) or path.endswith(f"/{ADAPTER}"))
    }
    weights, root = shards(all_paths, named), {path for path in all_paths if "/" not in path}

    def is_read(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        top = path.partition("/")[0] if folder else ""
        if path.startswith(".") or path.lower().endswith(NOT_NEEDED) or top in NOT_NEEDED_BELOW:
            return False
        is_beside_weights = any(f"{folder}/".startswith(f"{each}/") for each in unread)
        return not folder or not (is_beside_weights or name in root)

    return sorted({*weights, *filter(is_read, all_paths)})


def _is_long(path: str, sizes: Mapping[str, int]) -> bool:
    return sizes.get(path, 0) > LONGEST.get(path, 1 << 24)


def _kind(path: str) -> str:
    """What stands before the number: `model` of model-00001-of-00002.safetensors, `model.fp16` of its copies."""
    match = SHARD.fullmatch(path)
    if match:
        return match["kind"]
    stem, _, precision = path.removesuffix(ENDING).rpartition(".")
    numbered = SHARD.fullmatch(f"{stem}{ENDING}")
    return f"{numbered['kind']}.{precision}" if numbered else path.removesuffix(ENDING)


def _may_be_pointer(path: str, size: int) -> bool:
    """Of weights the header tells, and these two are read in any case."""
    return 0 < size < POINTER_MAX_BYTES and not path.endswith(ENDING) and path not in (CONFIG, INDEX)


def _pointers(small: Mapping[str, bytes]) -> list[str]:
    return sorted(path for path, content in small.items() if is_pointer(content))


def _object(path: str, text: "str | bytes | None") -> Settings:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is not a JSON object, got {str(text)[:40]}")
    return value


def _unlisted(sizes: Mapping[str, int], named: Mapping[str, str]) -> Iterator[str]:
    """Files that must be there by the index; without one, by the numbers in the names."""
    if missing := sorted(file for file in set(named.values()) if file not in sizes or "/" in file):
        yield f"{INDEX} names what is not there: {some(missing)}"
    sets: dict[tuple[str, str], set[int]] = {}
    for match in filter(None, map(SHARD.fullmatch, [] if named else shards(sizes, named))):
        sets.setdefault((match["kind"], match["count"]), set()).add(int(match["number"]))
    for (kind, count), numbers in sorted(sets.items()):
        if int(count) > MOST_SHARDS:
            yield f"a number of files that no checkpoint has, got {count}"
            continue
        wanted = set(range(1, int(count) + 1)) if 0 not in numbers else set(range(int(count)))
        if lacking := [f"{kind}-{number:0{len(count)}}-of-{count}{ENDING}" for number in sorted(wanted - numbers)]:
            yield f"files are missing, got {len(numbers)} of {int(count)} without {some(lacking)}"


def _index_problems(named: Mapping[str, str], headers: Mapping[str, Header]) -> Iterator[str]:
    """Tensors that the index and the files do not agree on."""
    for file, header in headers.items() if named else ():
        claimed = {name for name, place in named.items() if place == file}
        if lacking := sorted(claimed - header.keys()):
            yield f"{file} lacks what {INDEX} names in it: {some(lacking)}"
        if unnamed := sorted(header.keys() - claimed):
            yield f"{file} holds what {INDEX} does not name in it: {some(unnamed)}"
