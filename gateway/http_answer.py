"""HTTP/1.1 answers as bytes: where the head ends, where the body ends, and what is no answer at all.

Pure: bytes in, bytes of the body out. Strict, for whoever forgives a mistake about where a message ends takes its rest
for the next message.
"""

import re

from multidict import CIMultiDict

HEAD_BYTES = 32 * 1024
"""Of a head, and of the lines behind a chunked body."""
LINE_BYTES = 1024
"""Of the line before a chunk: its size, and what an engine may add to it."""

_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_FIELDS = rb"(?:[!#$%%&'*+.^_`|~0-9A-Za-z-]+:%b\r\n)*" % _TEXT
_HEAD = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (%b))?\r\n(%b)\r\n" % (_TEXT, _FIELDS))
_TRAILER = re.compile(_FIELDS + rb"\r\n")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;%b)?\r\n" % _TEXT)
_LENGTH = re.compile(r"[0-9]{1,15}")
_BEGINNING = b"HTTP/1."
_WITHOUT_BODY = (204, 304)


class BrokenAnswerError(Exception):
    """Bytes that are no HTTP/1.1 answer, or that end within one."""


class AnswerParser:
    """Follows one answer to a request that is no HEAD. After an error, or its end, it takes no more bytes."""

    def __init__(self) -> None:
        self.status = 0
        """0 until the head is whole."""
        self.reason = ""
        self.headers: CIMultiDict[str] = CIMultiDict()
        self.is_whole = False
        self.is_last = False
        """Nothing may follow on its connection: it says so, or something came behind its end."""
        self._rest = b""
        """The beginning of a head, or of a line between chunks."""
        self._left: int | None = 0
        """Bytes that the body, or the present chunk, still has; None where only the connection ends it."""
        self._is_chunked = False
        self._is_behind_chunk = False
        self._is_behind_all = False

    def feed(self, data: bytes) -> bytes:
        """Take what arrived, return what of it is body. Raises BrokenAnswerError."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not self.status:
            data = self._past_head(data)
        if self._is_chunked:
            return self._unchunked(data)
        if self._left is None:
            return data
        body = data[: self._left]
        self._left -= len(body)
        if self.status and not self._left:
            self._finish(has_more=len(data) > len(body))
        return body

    def end(self) -> None:
        """Note that the connection ended. Raises BrokenAnswerError unless that is where this answer ends."""
        if self._left is not None:
            raise BrokenAnswerError("the connection ended within an answer")
        self._finish(has_more=False)

    def _finish(self, *, has_more: bool) -> None:
        self.is_whole = True
        self.is_last = self.is_last or has_more

    def _past_head(self, data: bytes) -> bytes:
        """Return what is behind the head, nothing before that is whole. Provisional answers are passed over."""
        while not self.status:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 and len(data) < HEAD_BYTES and data.startswith(_BEGINNING[: len(data)]):
                self._rest = data
                return b""
            head = _HEAD.fullmatch(data, 0, min(end, HEAD_BYTES))
            if head is None:
                raise BrokenAnswerError("no head of an answer")
            self._begin(head)
            data = data[end:]
        return data

    def _begin(self, head: re.Match[bytes]) -> None:
        status = int(head[2])
        if status < 200:
            if status == 101:
                raise BrokenAnswerError("another protocol, for which nobody asked")
            return
        lines = (line.partition(":") for line in head[4].decode("latin-1").split("\r\n")[:-1])
        self.headers = CIMultiDict((name, value.strip(" \t")) for name, _, value in lines)
        self.status, self.reason = status, (head[3] or b"").decode("latin-1")
        is_old = head[1] == b"0"
        self.is_last = is_old or "close" in self.headers.get("Connection", "").lower()
        self._frame(is_old=is_old)

    def _frame(self, *, is_old: bool) -> None:
        """Decide where the body ends, as RFC 9112 section 6.3 does; a contradiction is an error."""
        codings = self.headers.getall("Transfer-Encoding", ())
        lengths = self.headers.getall("Content-Length", ())
        if codings and (is_old or lengths or len(codings) > 1 or codings[0].lower() != "chunked"):
            raise BrokenAnswerError("no telling where the body ends")
        if lengths and (len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0])):
            raise BrokenAnswerError("no telling how long the body is")
        if self.status not in _WITHOUT_BODY:
            self._is_chunked = bool(codings)
            self._left = 0 if codings else int(lengths[0]) if lengths else None
            self.is_last = self.is_last or self._left is None

    def _unchunked(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self._is_behind_all:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._is_behind_chunk = True
            elif self._is_behind_chunk and data.startswith(b"\r\n", at):
                at += 2
                self._is_behind_chunk = False
            elif not self._is_behind_chunk and (found := _SIZE.match(data, at)):
                at = found.end()
                self._left = int(found[1], 16)
                self._is_behind_all = not self._left
            else:
                self._keep(data[at:], b"\r" if self._is_behind_chunk else None)
                break
        if self._is_behind_all:
            self._end_chunks(data[at:])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _keep(self, begun: bytes, only: bytes | None) -> None:
        """Keep the beginning of a line whose end has not come."""
        if len(begun) > LINE_BYTES or b"\n" in begun or (only is not None and begun != only):
            raise BrokenAnswerError("no chunk")
        self._rest = begun

    def _end_chunks(self, behind: bytes) -> None:
        """Pass over what may stand behind the last chunk; nobody asked for it."""
        trailer = _TRAILER.match(behind)
        if trailer:
            self._finish(has_more=trailer.end() < len(behind))
        elif len(behind) > HEAD_BYTES or b"\r\n\r\n" in behind or behind.startswith(b"\r\n"):
            raise BrokenAnswerError("no end of the chunks")
        else:
            self._rest = behind
