"""An engine's answer is read as an independent parser reads it, or it is refused: never in a third way."""

import random

import h11
import pytest

from gateway.http_answer import HEAD_BYTES, LINE_BYTES, AnswerParser, BrokenAnswerError

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \t\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
CLOSED = b"HTTP/1.1 200 OK\r\n\r\nhello"


def parsed(raw: bytes, *, cuts: tuple[int, ...] = (), ends: bool = False) -> tuple[AnswerParser, bytes]:
    """Feed bytes in pieces, as long as the parser takes any."""
    parser, body = AnswerParser(), b""
    for start, end in zip((0, *cuts), (*cuts, len(raw)), strict=True):
        if not parser.is_whole and start < end:
            body += parser.feed(raw[start:end])
    if ends and not parser.is_whole:
        parser.end()
    return parser, body


@pytest.mark.parametrize(
    ("raw", "status", "body", "is_last"),
    [
        (PLAIN, 200, b"hello", False),
        (PLAIN + b"HTTP/1.1 200 OK\r\n\r\n", 200, b"hello", True),
        (PLAIN.replace(b"OK", b""), 200, b"hello", False),
        (PLAIN.replace(b" OK", b""), 200, b"hello", False),
        (PLAIN.replace(b"1.1", b"1.0"), 200, b"hello", True),
        (PLAIN.replace(b"X-A:", b"Connection: Close\r\nX-A:"), 200, b"hello", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n" + PLAIN, 200, b"hello", False),
        (b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", 503, b"", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", False),
        (b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", 304, b"", False),
        (b"HTTP/1.1 204 No Content\r\n\r\nx", 204, b"", True),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", 200, b"hello", False),
        (CHUNKED + b"0005;a=b\r\nhello\r\n000 ;c\r\nX-T: u\r\n\r\n", 200, b"hello", False),
        (CHUNKED + b"A\r\nhellohello\r\n5\r\nhello\r\n0\r\n\r\nx", 200, b"hello" * 3, True),
        (CLOSED, 200, b"hello", True),
    ],
)
def test_an_answer_is_read_alike_wherever_it_is_torn(raw: bytes, status: int, body: bytes, is_last: bool) -> None:
    every_byte = tuple(range(1, len(raw)))
    for cuts in ((), every_byte, *((at,) for at in every_byte)):
        parser, found = parsed(raw, cuts=cuts, ends=raw == CLOSED)
        assert (parser.status, found, parser.is_whole) == (status, body, True)
        assert parser.is_last == is_last or len(cuts) > 0, "what comes later, the connection sees"


def test_names_are_found_in_any_case_and_values_without_the_space_around_them() -> None:
    parser, _ = parsed(PLAIN)
    assert (parser.reason, parser.headers["x-a"]) == ("OK", "b")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTQ",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x7f\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"),
        CHUNKED.replace(b"1.1", b"1.0"),
        CHUNKED.replace(b"Chunked", b"gzip, chunked"),
        CHUNKED.replace(b"Chunked", b"identity"),
        CHUNKED.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CHUNKED + b"0x5\r\nhello\r\n",
        CHUNKED + b"-5\r\nhello\r\n",
        CHUNKED + b" 5\r\nhello\r\n",
        CHUNKED + b"1_0\r\nhello\r\n",
        CHUNKED + b"\r\nhello\r\n",
        CHUNKED + b"5\nhello\r\n",
        CHUNKED + b"5\r\nhellohello\r\n",
        CHUNKED + b"5\r\nhello\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello\rx",
        CHUNKED + b"1000000000000000\r\nhello",
        CHUNKED + b"5" + b" " * LINE_BYTES,
        CHUNKED + b"0\r\nA b\r\n\r\n",
        CHUNKED + b"0\r\n\n\r\n\r\n",
        CHUNKED + b"0\r\n" + b"A: b\r\n" * HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * HEAD_BYTES + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * HEAD_BYTES,
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        parsed(raw)
    with pytest.raises(BrokenAnswerError):
        parsed(raw, cuts=tuple(range(1, len(raw), 1 + len(raw) // 1000)))


@pytest.mark.parametrize("raw", [b"", PLAIN[:-1], PLAIN[:20], CHUNKED, CHUNKED + b"5\r\nhello\r\n0\r\n"])
def test_an_answer_that_ends_early_is_not_taken_for_a_whole_one(raw: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        parsed(raw, ends=True)


def answer(chance: random.Random) -> bytes:
    """Return an answer, whole and in order."""
    body = chance.randbytes(chance.choice([0, 1, 5, 300]))
    headers = chance.choice([b"", b"A: b\r\n", b"Content-Type: text/plain\r\nX: " + b"y" * 50 + b"\r\n"])
    head = b"HTTP/1.1 %d OK\r\n%b" % (chance.choice([200, 200, 404, 500, 204]), headers)
    if chance.random() < 0.4:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    if chance.random() < 0.2:
        return head + b"\r\n" + body
    chunks = b""
    while body:
        size = chance.randrange(1, len(body) + 1)
        chunks += b"%x\r\n%b\r\n" % (size, body[:size])
        body = body[size:]
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def damaged(chance: random.Random, raw: bytes) -> bytes:
    """Return an answer with one to three faults."""
    found = bytearray(raw)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(found) + 1)
        found[at : at + chance.randrange(3)] = chance.choice(
            [
                b"",
                b"\r\n",
                b"\n",
                b"\r",
                b"0",
                b"f",
                b" ",
                b";",
                b":",
                b"\0",
                chance.randbytes(2),
                b"Content-Length: 3\r\n",
            ]
        )
    return bytes(found)


def read_by_h11(raw: bytes) -> tuple[int, bytes] | None:
    """Return the status and the body that another parser finds; None where it refuses, or waits for more."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2 * HEAD_BYTES)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    connection.receive_data(b"")
    status, body = 0, b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None
    return status, body


@pytest.mark.parametrize("seed", range(4))
def test_damaged_answers_are_read_as_another_parser_reads_them_or_refused(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible is what it must be
    read = refused = 0
    for _ in range(3000):
        whole = answer(chance)
        assert read_ours(chance, whole) == read_by_h11(whole) is not None
        raw = damaged(chance, whole)
        found = read_ours(chance, raw)
        if found is None:
            refused += 1
        else:
            read += 1
            assert found == read_by_h11(raw), raw
    assert read > 500, "the damage must leave something to compare"
    assert refused > 500


def read_ours(chance: random.Random, raw: bytes) -> tuple[int, bytes] | None:
    cuts = tuple(sorted(chance.sample(range(len(raw) + 1), min(len(raw), chance.choice([0, 1, 2, 20])))))
    try:
        parser, body = parsed(raw, cuts=cuts, ends=True)
    except BrokenAnswerError:
        return None
    return parser.status, body
