"""Pictures of one colour, as a chat message carries them."""

import base64
import struct
import zlib
from typing import Any

COLOURS = {"red": b"\xff\x00\x00", "white": b"\xff\xff\xff"}
WIDTH = 64


def question_about(colour: str) -> list[dict[str, Any]]:
    """The content of a message: a picture, and a question about it."""
    url = f"data:image/png;base64,{base64.b64encode(png(COLOURS[colour])).decode()}"
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is this?"}]


def png(pixel: bytes) -> bytes:
    """A square of one colour, as the PNG specification has it: signature, header, rows, end."""
    rows = (b"\0" + pixel * WIDTH) * WIDTH
    header = struct.pack(">IIBBBBB", WIDTH, WIDTH, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
