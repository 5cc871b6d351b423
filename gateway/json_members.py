"""The top level of a JSON object in bytes: where its members stand, found without building what is in them.

A scan takes linear time, keeps nothing but what it was asked for, and pauses every few thousand bytes, so that whoever
drives it can let others run. It tokenises what is JSON as a JSON parser does; what is not JSON it may let pass.
"""

import json
import re
from collections.abc import Generator, Iterable, Mapping
from typing import NamedTuple

WINDOW_BYTES = 16 * 1024
"""What is looked at between two pauses: below 5 ms for the worst input, on a slow computer."""
LONG_WINDOW_BYTES = 64 * WINDOW_BYTES
"""The same for a string without escapes, such as a picture: the C library finds its end at gigabytes a second."""
MAX_KEY_BYTES = 1024
"""A longer key is nobody's: every character of a name that we know, escaped, is shorter."""
MAX_MEMBERS = 1000
"""No request has so many; a million empty ones are the dearest bytes to look at."""
MAX_DEPTH = 512
"""Parsers that recurse, such as the engines', give up soon after."""

_SPACE = rb"[ \t\n\r]*+"
_IN_STRING = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_STRING = rb'"' + _IN_STRING + rb'"'
_FLAT = rb'[^"\[\]{}]*+'
_SCALAR = rb'[^"\[\]{},: \t\n\r]'


def _inside(levels: int) -> bytes:
    """Return an expression for what stands in a container, with containers in it that are so many levels deep."""
    item = _STRING
    for _ in range(levels):
        item = _STRING + rb"|[\[{]" + _FLAT + rb"(?:(?:" + item + rb")" + _FLAT + rb")*+[\]}]"
    return _FLAT + rb"(?:(?:" + item + rb")" + _FLAT + rb")*+"


def _compiled(expression: bytes) -> re.Pattern[bytes]:
    return re.compile(expression, re.DOTALL)


_SHALLOW = _inside(2)
_MEMBER = _compiled(
    rb"%b(%b)%b:%b(%b|%b++|[\[{]%b[\]}])%b([,}])"
    % (_SPACE, _STRING, _SPACE, _SPACE, _STRING, _SCALAR, _SHALLOW, _SPACE)
)
_BRACKETS = _compiled(_SHALLOW + rb'(?:([\[{]++)|([\]}]++)|(")|\Z)')
_SPACES = _compiled(_SPACE)
_SCALARS = _compiled(_SCALAR + rb"*+")
_STRINGS = _compiled(_IN_STRING)
_QUOTE, _BACKSLASH, _COLON, _COMMA, _OPEN, _CLOSE = b'"\\:,{}'


class NotAnObjectError(ValueError):
    """The bytes are no JSON object; the message says what stands where."""


class Member(NamedTuple):
    """Where one member of the object stands: its key, its value, the comma before and the comma after it."""

    name: str
    start: int
    value: int
    end: int
    comma_before: int | None
    comma_after: int | None


class Members(NamedTuple):
    """The members that were asked for, in their order, and what is needed to add some."""

    first: int
    """Where a member may be put in: behind the opening bracket."""
    total: int
    """All members, also those that nobody asked for."""
    found: tuple[Member, ...]


Scan = Generator[None, None, Members]


def scan(raw: bytes, wanted: frozenset[str]) -> Scan:
    """Look for members by name, pausing at every `yield`. Raises NotAnObjectError."""
    position = yield from _past_space(raw, 0)
    _expect(raw, position, _OPEN)
    first = position = position + 1
    found: list[Member] = []
    count, comma, pause = 0, None, position + WINDOW_BYTES
    while True:
        near = _MEMBER.match(raw, position, position + WINDOW_BYTES)
        if near:
            start, key_end = near.span(1)
            value, end = near.span(2)
            mark = near.end() - 1
        else:
            start = yield from _past_space(raw, position)
            if not count and raw[start : start + 1] == b"}":
                mark = start
                break
            key_end, value, end, mark = yield from _far_member(raw, start)
        count += 1
        if count > MAX_MEMBERS:
            raise NotAnObjectError(f"an object of more than {MAX_MEMBERS} members")
        after = mark if raw[mark] == _COMMA else None
        name = _name(raw, start, key_end)
        if name in wanted:
            found.append(Member(name=name, start=start, value=value, end=end, comma_before=comma, comma_after=after))
        if after is None:
            break
        comma, position = mark, mark + 1
        if position > pause:
            pause = position + WINDOW_BYTES
            yield
    rest = yield from _past_space(raw, mark + 1)
    if rest != len(raw):
        raise _unexpected(raw, rest)
    return Members(first=first, total=count, found=tuple(found))


def finished(steps: Scan) -> Members:
    """Run a scan to its end without letting anybody else run."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            members: Members = done.value
            return members


def edited(raw: bytes, members: Members, *, put: Mapping[str, str], remove: Iterable[str] = ()) -> bytes:
    """Return the object with some members set to JSON texts and some removed, and every other byte as it was.

    `members` is from a scan for all of these names. Nothing is serialised again: numbers, escapes and the order of
    members stay exactly as the client wrote them.
    """
    removed = frozenset(remove)
    gone = [member for member in members.found if member.name in removed]
    present = {member.name for member in members.found}
    fresh = ", ".join(f"{json.dumps(name)}: {text}" for name, text in put.items() if name not in present)
    separator = ", " if fresh and len(gone) < members.total else ""
    cuts = [(members.first, members.first, fresh + separator), *_removals(gone)]
    cuts += [(member.value, member.end, put[member.name]) for member in members.found if member.name in put]
    pieces: list[bytes | memoryview] = []
    kept, view = 0, memoryview(raw)
    for start, end, text in sorted(cuts):
        pieces += (view[kept:start], text.encode())
        kept = end
    return b"".join((*pieces, view[kept:]))


def _removals(gone: list[Member]) -> list[tuple[int, int, str]]:
    """Cut each member with the comma behind it; those at the object's end with the comma before it."""
    cuts: list[tuple[int, int, str]] = []
    last: int | None = None
    for member in reversed(gone):
        if member.comma_after == last:
            start = member.start if member.comma_before is None else member.comma_before
            cuts.append((start, member.end, ""))
            last = member.comma_before
        else:
            assert member.comma_after is not None, "a member without a comma behind it is the last"
            cuts.append((member.start, member.comma_after + 1, ""))
    return cuts


def _far_member(raw: bytes, start: int) -> Generator[None, None, tuple[int, int, int, int]]:
    """Return where a key ends, its value starts and ends, and the mark behind it, for a member of any size."""
    _expect(raw, start, _QUOTE)
    key_end = yield from _past_string(raw, start + 1)
    colon = yield from _past_space(raw, key_end)
    _expect(raw, colon, _COLON)
    value = yield from _past_space(raw, colon + 1)
    opening = raw[value : value + 1]
    if opening == b'"':
        end = yield from _past_string(raw, value + 1)
    elif opening in (b"[", b"{"):
        end = yield from _past_container(raw, value + 1)
    else:
        end = yield from _past(_SCALARS, raw, value)
        if end == value:
            raise _unexpected(raw, value)
    mark = yield from _past_space(raw, end)
    if raw[mark : mark + 1] not in (b",", b"}"):
        raise _unexpected(raw, mark)
    return key_end, value, end, mark


def _past_container(raw: bytes, position: int) -> Generator[None, None, int]:
    depth, size = 1, len(raw)
    while position < size:
        for token in _BRACKETS.finditer(raw, position, position + WINDOW_BYTES):
            position = token.end()
            if token.lastindex == 1:
                depth += position - token.start(1)
                if depth > MAX_DEPTH:
                    raise NotAnObjectError(f"nested more than {MAX_DEPTH} levels deep")
            elif token.lastindex == 2:
                closed = position - token.start(2)
                if closed >= depth:
                    return token.start(2) + depth
                depth -= closed
            elif token.lastindex == 3:  # a string that ends beyond this window
                position = yield from _past_string(raw, position)
                break
        yield
    raise _unexpected(raw, size)


def _past_string(raw: bytes, position: int) -> Generator[None, None, int]:
    """Return the position behind the closing quote of a string whose opening quote is behind us."""
    size = len(raw)
    while position < size:
        end = min(position + LONG_WINDOW_BYTES, size)
        quote = raw.find(b'"', position, end)
        if raw.find(b"\\", position, end if quote < 0 else quote) < 0:
            if quote >= 0:
                return quote + 1
            position = end
        else:
            before, position = position, _end(_STRINGS, raw, position)
            if raw[position : position + 1] == b'"':
                return position + 1
            if position == before:  # the last byte of all is a backslash
                break
        yield
    raise _unexpected(raw, size)


def _past_space(raw: bytes, position: int) -> Generator[None, None, int]:
    return (yield from _past(_SPACES, raw, position))


def _past(run: re.Pattern[bytes], raw: bytes, position: int) -> Generator[None, None, int]:
    """Return where a run of characters ends."""
    while (end := _end(run, raw, position)) == position + WINDOW_BYTES:
        position = end
        yield
    return end


def _end(run: re.Pattern[bytes], raw: bytes, position: int) -> int:
    """Return where a run of characters ends within a window. It may be empty, so there always is one."""
    found = run.match(raw, position, position + WINDOW_BYTES)
    assert found is not None
    return found.end()


def _name(raw: bytes, start: int, end: int) -> str | None:
    """Return a key, None for one that is nobody's."""
    if end - start > MAX_KEY_BYTES:
        return None
    text = raw[start + 1 : end - 1]
    if b"\\" not in text:
        return text.decode(errors="replace")
    try:
        return str(json.loads(raw[start:end]))
    except ValueError:
        return None


def _expect(raw: bytes, position: int, wanted: int) -> None:
    if raw[position : position + 1] != bytes((wanted,)):
        raise _unexpected(raw, position)


def _unexpected(raw: bytes, position: int) -> NotAnObjectError:
    if position >= len(raw):
        return NotAnObjectError("it ends too early")
    return NotAnObjectError(f"unexpected {chr(raw[position])!r} at byte {position}")
