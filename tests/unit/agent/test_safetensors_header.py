"""The header of a file of weights is read as the format describes it, and nothing else passes for one."""

import hashlib
import json
import struct
from typing import Any

import pytest

from agent.safetensors_header import HeaderError, read_header
from tests.support.checkpoints import pointer


def header(entries: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def read(content: bytes) -> Any:
    return read_header(lambda start, count: content[start : start + count], len(content))


def test_a_header_tells_types_shapes_and_sizes_also_when_it_is_longer_than_the_first_piece() -> None:
    entry = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}
    found = read(header({"__metadata__": {"note": "x" * 200_000}, "a.weight": entry}, bytes(12)))
    assert {name: (each.dtype, each.shape, each.size) for name, each in found.items()} == {
        "a.weight": ("BF16", (2, 3), 12)
    }


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is no safetensors file"),
        (b"\0" * 7, "is no safetensors file"),
        (b"\1" * 16, "is no safetensors file"),
        (b"\0" * 8, "cannot be read"),
        (header({}, length=2**63), "is no safetensors file"),
        (header(b"[]"), "cannot be read"),
        (header(b"[" * 100_000), "cannot be read"),
        (header({"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 4]}}, bytes(4)), "cannot be read"),
        (header({"a": {"dtype": "U8", "shape": [4], "data_offsets": [-4, 0]}}, bytes(4)), "cannot be read"),
        (header({"a": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}}, bytes(1)), "cannot be read"),
        (header({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, bytes(2)), "a gap before a"),
        (header({}, b"x"), "is not as long"),
        (pointer(b""), "is a pointer of git LFS"),
    ],
)
def test_what_is_no_safetensors_file_is_told_before_anybody_loads_it(content: bytes, what: str) -> None:
    with pytest.raises(HeaderError, match=what):
        read(content)


def test_a_pointer_is_as_long_as_git_lfs_makes_it() -> None:
    content = pointer(b"x")
    assert 120 < len(content) < 140
    assert hashlib.sha256(b"x").hexdigest().encode() in content
