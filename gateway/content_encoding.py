"""Undoing a body's Content-Encoding in pieces of a bounded size, so that a small body cannot unpack into a stall."""

import zlib
from collections.abc import Iterator

ACCEPTED = ("gzip", "deflate")
PIECE_BYTES = 256 * 1024
"""Unpacked in less than a millisecond."""
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15


class EncodingError(ValueError):
    """The bytes are not in the encoding that they were announced in."""


class Decoder:
    """Decodes one body. The encoding is one of ACCEPTED, or none."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._inflater: zlib._Decompress | None = None

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Return what more bytes hold. Raises EncodingError, also for bytes behind the end."""
        if self._encoding not in ACCEPTED:
            yield packed
            return
        inflater = self._inflater = self._inflater or zlib.decompressobj(self._bits(packed))
        piece = b""
        while packed or len(piece) == PIECE_BYTES:
            try:
                piece = inflater.decompress(packed, PIECE_BYTES)
            except zlib.error as error:
                raise EncodingError("damaged") from error
            if inflater.unused_data:
                raise EncodingError("bytes behind the end")
            yield piece
            packed = inflater.unconsumed_tail

    def finish(self) -> None:
        """Check that the last byte was the encoding's last. Raises EncodingError."""
        if self._inflater is not None and not self._inflater.eof:
            raise EncodingError("cut off")

    def _bits(self, packed: bytes) -> int:
        if self._encoding == "gzip":
            return _GZIP_BITS
        # RFC 9110 section 8.4.1.2: zlib's format, though some clients send it without its head.
        return _ZLIB_BITS if packed[0] & 0x0F == zlib.DEFLATED else _RAW_BITS
