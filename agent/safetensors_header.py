"""The header of a safetensors file, which says what is in it and how long it must be. No tensor is read.

Eight bytes with the length of what follows, little-endian; a JSON object with each tensor's dtype, shape and place; the
tensors, one after another without a gap (the format's own description at github.com/huggingface/safetensors).
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FIRST_BYTES = 1 << 17
"""Asked for at first: most headers are shorter, so that one question is enough."""
MAX_BYTES = 100_000_000
"""The safetensors library reads no longer header."""
POINTER = b"version https://git-lfs"
POINTER_MAX_BYTES = 200
"""A pointer of git LFS is three short lines, 120 to 140 bytes."""
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


class HeaderError(ValueError):
    """What is wrong with a file: the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class Tensor:
    """One tensor as the header describes it."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    """From the end of the header."""
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


Header = Mapping[str, Tensor]


def is_pointer(start: bytes) -> bool:
    """Whether git LFS left its pointer where the file should be."""
    return start.startswith(POINTER)


def read_header(read: Callable[[int, int], bytes], size: int) -> Header:
    """Read a header through `read(start, count)`, of a file of that size. Raises HeaderError for half a file."""
    start = read(0, min(size, FIRST_BYTES))
    if is_pointer(start):
        raise HeaderError(f"is a pointer of git LFS in place of the file, got {size} bytes")
    length = 8 + int.from_bytes(start[:8], "little")
    if size < 8 or length > min(size, MAX_BYTES):
        raise HeaderError(f"is no safetensors file, or a piece of one, got {size} bytes")
    if len(start) < length:
        start += read(len(start), length - len(start))
    tensors = _tensors(start[8:length])
    ends = length + max((tensor.end for tensor in tensors.values()), default=0)
    if ends != size:
        raise HeaderError(f"is not as long as its header says, got {size} bytes where {ends} belong")
    return tensors


def _tensors(text: bytes) -> dict[str, Tensor]:
    try:
        entries = json.loads(text)
        tensors = {name: _tensor(entry) for name, entry in entries.items() if name != "__metadata__"}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise HeaderError(f"has a header that cannot be read: {text[:40]!r}") from None
    at = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != at:
            raise HeaderError(f"has a header with a gap before {name}, got {tensor.begin} where {at} belongs")
        at = tensor.end
    return tensors


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    found = Tensor(str(entry["dtype"]), tuple(entry["shape"]), begin, end)
    bits = BITS.get(found.dtype, 0) * math.prod(found.shape)
    are_whole = all(type(number) is int and number >= 0 for number in (begin, end, *found.shape))
    if not are_whole or end < begin or (found.dtype in BITS and bits != 8 * found.size):
        raise ValueError("not a tensor")
    return found
