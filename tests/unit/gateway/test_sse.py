"""Server-sent events as bytes: nothing lost, nothing torn, and an ending that can be believed."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ApiError
from gateway.sse import WHOLE_EVENT_BYTES, EventStream

ERROR = ApiError(502, "upstream_error", "gone")
EVENTS = st.sampled_from([b'data: {"a":1}\n\n', b": ping\n\n", b"event: x\r\ndata: 1\r\n\r\n", b"data: x\r\r", b"\n\n"])


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def strict_events(data: bytes) -> list[tuple[str, str]]:
    """Parse as the WHATWG standard says, independently of the code under test."""
    events: list[tuple[str, str]] = []
    name, lines = "", []
    for line in data.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        if line:
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            name = value if key == "event" else name
            lines += [value] if key == "data" else []
        else:
            events += [(name, "\n".join(lines))] if lines else []
            name, lines = "", []
    return events


@given(st.lists(EVENTS), st.binary(max_size=5), st.lists(st.integers(0, 10_000)))
def test_any_split_of_a_stream_gives_the_same_bytes(events: list[bytes], torso: bytes, cuts: list[int]) -> None:
    data = b"".join(events) + torso
    stream = EventStream()
    out = b"".join(stream.feed(piece) for piece in pieces(data, cuts))
    assert data.startswith(out)
    assert len(out) >= len(data) - len(torso) - 4, "a whole event is never held back"
    assert out + stream.rest() == data


@given(st.lists(EVENTS, min_size=1), st.integers(0, 30), st.lists(st.integers(0, 10_000)))
def test_an_interruption_is_an_event_of_its_own_wherever_the_stream_broke(
    events: list[bytes], missing: int, cuts: list[int]
) -> None:
    data = b"".join(events)
    data = data[: max(0, len(data) - missing)]
    stream = EventStream()
    out = b"".join(stream.feed(piece) for piece in pieces(data, cuts))
    seen = strict_events(out + stream.interruption(ERROR))
    assert seen[:-1] == strict_events(out)
    assert json.loads(seen[-1][1]) == {
        "error": {"message": "gone", "type": "server_error", "param": None, "code": "upstream_error"}
    }


def test_whole_events_pass_as_the_very_object_that_arrived() -> None:
    piece = b"data: 1\n\n"
    assert EventStream().feed(piece) is piece


def test_a_giant_event_is_passed_on_in_parts_and_closed_when_it_breaks() -> None:
    stream = EventStream()
    torso = b"data: " + b"x" * WHOLE_EVENT_BYTES
    assert stream.feed(torso) == torso
    assert stream.interruption(ERROR).startswith(b"\n\ndata: {")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_done_and_error_are_seen_across_any_split(size: int) -> None:
    data = b'data: {"choices":[]}\n\ndata: {"error":{}}\n\ndata: [DONE]\n\n'
    stream = EventStream((b"data: [DONE]",))
    for start in range(0, len(data), size):
        stream.feed(data[start : start + size])
    assert (stream.said_end, stream.said_error) == (True, True)


def test_text_of_a_model_cannot_claim_the_end() -> None:
    stream = EventStream((b"data: [DONE]",))
    text = json.dumps({"content": '\ndata: [DONE]\n\ndata: {"error"'})
    stream.feed(f"data: {text}\n\n".encode())
    assert (stream.said_end, stream.said_error) == (False, False)
