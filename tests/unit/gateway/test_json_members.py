"""Where the top-level members of a JSON object stand, with json.loads as the judge."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway import json_members
from gateway.json_members import MAX_DEPTH, MAX_MEMBERS, Members, NotAnObjectError, edited, finished, scan

NAMES = frozenset({"model", "stream", "n"})
KEYS = st.sampled_from(["model", "stream", "n", "mode", "models", "a"]) | st.text(max_size=3)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(['"model":"x"', "}", "\\", "]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
SPACES = st.text(alphabet=" \t\n\r", max_size=3)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """JSON objects as clients might write them: any white space, any escapes, lone surrogates, repeated keys."""
    members = draw(st.lists(st.tuples(KEYS, VALUES), max_size=6))
    written = [
        f"{draw(SPACES)}{_written(draw, key)}{draw(SPACES)}:{draw(SPACES)}{_dumped(draw, value)}{draw(SPACES)}"
        for key, value in members
    ]
    text = draw(SPACES) + "{" + (",".join(written) or draw(SPACES)) + "}" + draw(SPACES)
    return text.encode(errors="surrogatepass")


def _written(draw: st.DrawFn, key: str) -> str:
    if not draw(st.booleans()):
        return json.dumps(key, ensure_ascii=draw(st.booleans()))
    units = key.encode("utf-16-be", "surrogatepass")
    return '"' + "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2)) + '"'


def _dumped(draw: st.DrawFn, value: object) -> str:
    return json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))


def oracle(raw: bytes) -> list[tuple[str, Any]]:
    """Return the top-level members as json.loads sees them, repeated ones too; its last one would count."""
    seen: list[Any] = json.loads(raw, object_pairs_hook=lambda pairs: [*pairs, ...])
    assert seen.pop() is ...
    return seen


def found_in(raw: bytes, names: frozenset[str] = NAMES) -> Members:
    return finished(scan(raw, names))


@pytest.mark.parametrize("window", [json_members.WINDOW_BYTES, 4])
@settings(max_examples=300, deadline=None)
@given(raw=objects())
@example(raw=b'{"\\u006dodel":"a"}')
@example(raw=b'{"a":{"model":"x"},"b":"\\"model\\":1,","model":"y"}')
def test_the_members_are_those_that_a_parser_sees(raw: bytes, window: int) -> None:
    """Also where each window ends in the middle of something."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_members, "WINDOW_BYTES", window)
        patch.setattr(json_members, "LONG_WINDOW_BYTES", window * 2)
        found = found_in(raw).found
    expected = [pair for pair in oracle(raw) if pair[0] in NAMES]
    seen = [
        (at.name, json.loads(raw[at.value : at.end], object_pairs_hook=lambda pairs: [*pairs, ...])) for at in found
    ]
    assert repr(seen) == repr(expected)  # a NaN is not equal to itself


@settings(max_examples=300, deadline=None)
@given(raw=objects(), put=st.dictionaries(st.sampled_from(["model", "n", "new"]), VALUES), data=st.data())
def test_members_are_put_and_removed_and_nothing_else_changes(
    raw: bytes, put: dict[str, Any], data: st.DataObject
) -> None:
    others = sorted({name for name, _ in oracle(raw)} - put.keys())
    removed = data.draw(st.sets(st.sampled_from(others))) if others else set()
    asked = frozenset(removed | put.keys())
    changed = edited(
        raw, found_in(raw, asked), put={name: json.dumps(value) for name, value in put.items()}, remove=removed
    )
    expected = {**json.loads(raw), **put}
    for name in removed:
        del expected[name]
    assert repr(sorted(json.loads(changed).items())) == repr(sorted(expected.items()))
    assert not removed & {name for name, _ in oracle(changed)}, "also where it stood twice"


@settings(max_examples=300, deadline=None)
@given(raw=objects(), position=st.integers(0, 200), put=st.binary(max_size=2), cut=st.integers(0, 3))
def test_a_damaged_object_is_refused_or_seen_as_a_parser_sees_it(
    raw: bytes, position: int, put: bytes, cut: int
) -> None:
    raw = raw[:position] + put + raw[position + cut :]
    try:
        expected = [name for name, _ in oracle(raw) if name in NAMES]
    except Exception:  # whatever json.loads raises: the engine refuses it
        return
    found = [member.name for member in found_in(raw).found]
    assert found == expected


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "it ends too early"),
        (b" [", "unexpected '[' at byte 1"),
        (b'{"a"', "it ends too early"),
        (b'{"a":1', "it ends too early"),
        (b'{"a":"\\', "it ends too early"),
        (b'{"a":[{', "it ends too early"),
        (b'{"a" 1}', "unexpected '1' at byte 5"),
        (b'{"a":}', "unexpected '}' at byte 5"),
        (b'{"a":1,}', "unexpected '}' at byte 7"),
        (b"{1:1}", "unexpected '1' at byte 1"),
        (b'{"a":1}{"model":"b"}', "unexpected '{' at byte 7"),
        ('{"model":"a"}'.encode("utf-16-le"), "unexpected '\\x00' at byte 1"),
        (b'{"a":' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}", "nested more than 512 levels deep"),
        (b"{" + b",".join(b'"":0' for _ in range(MAX_MEMBERS + 1)) + b"}", "an object of more than 1000 members"),
    ],
)
def test_what_is_no_object_is_told(raw: bytes, why: str) -> None:
    with pytest.raises(NotAnObjectError) as refusal:
        found_in(raw)
    assert str(refusal.value) == why


def repeated(unit: bytes, *, before: bytes = b'{"x":[', after: bytes = b"0]}", size: int = 2_000_000) -> bytes:
    return before + unit * (size // len(unit)) + after


FLOODS = {
    "lists": repeated(b"[],"),
    "strings": repeated(b'"",'),
    "objects": repeated(b'{"a":{"b":{"c":{"d":1}}}},'),
    "brackets in keys": repeated(b'{"[":' * 400 + b"1" + b"}" * 400 + b","),
    "deep and shallow": repeated(b"[" * 500 + b"]" * 500 + b","),
    "a little too deep for one step": repeated(b"[[[[]]]],"),
    "escapes": repeated(b'\\"', before=b'{"x":"', after=b'"}'),
    "backslashes": repeated(b"\\\\", before=b'{"x":"', after=b'"}'),
    "a picture": repeated(b"QUJD", before=b'{"x":"', after=b'"}'),
    "a picture in a list": repeated(b"QUJD", before=b'{"x":[{"y":"', after=b'"}]}'),
    "a key": repeated(b"k", before=b'{"', after=b'":1}'),
    "digits": repeated(b"1", before=b'{"x":', after=b"}"),
    "white space": repeated(b" ", before=b"{", after=b'"x":1}'),
    "white space behind": repeated(b" ", before=b'{"x":1}', after=b""),
    "one key": repeated(b'"model":"b",', before=b"{", after=b'"x":1}'),
    "keys": repeated(b'"x":0,', before=b"{", after=b'"x":1}'),
    "deep values": repeated(b'"":[[[[[[]]]]]],', before=b"{", after=b'"x":1}'),
    "nesting": repeated(b"[", before=b'{"x":', after=b""),
    "an open string": repeated(b"\\n", before=b'{"x":"', after=b""),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_no_input_holds_the_loop_for_long_and_the_time_is_linear(flood: str) -> None:
    """CPU time, so that a busy machine does not count. 31.5 MB at the bound take 8 s of slices."""
    raw, longest, started = FLOODS[flood], 0.0, time.process_time()
    steps = scan(raw, NAMES)
    try:
        while True:
            before = time.process_time()
            next(steps)
            longest = max(longest, time.process_time() - before)
    except (StopIteration, NotAnObjectError):
        took = time.process_time() - started
    assert longest < 0.02
    assert took / len(raw) < 250e-9


def test_a_key_of_escapes_is_read_and_a_huge_one_is_nobodys() -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in "max_completion_tokens")
    raw = f'{{"{escaped}":1,"{"m" * 5000}":2}}'.encode()
    assert [member.name for member in found_in(raw, frozenset({"max_completion_tokens"})).found] == [
        "max_completion_tokens"
    ]
