"""Bodies that are read as a whole: whatever is in them, neither reading nor writing them takes long or fails oddly."""

import json
import time

import pytest

from gateway.bounded_json import MAX_DIGITS, MAX_VALUES, read_object, written
from gateway.errors import ApiError, shown


def test_long_numbers_are_refused_for_their_time_grows_with_the_square_of_their_length() -> None:
    raw = b'{"input":[' + b",".join([b"1" * 4000] * 7000) + b"]}"
    began = time.process_time()
    with pytest.raises(ApiError, match="a whole number of 4000 digits"):
        read_object(raw)
    assert time.process_time() - began < 0.3  # to read them all takes half a second, to write them more than one
    longest = b'{"a":-' + b"9" * (MAX_DIGITS - 1) + b"}"
    assert written(read_object(longest)) == longest.replace(b":", b": ")


def test_too_many_values_are_refused_before_they_are_read() -> None:
    with pytest.raises(ApiError) as refused:
        read_object(b'{"a":[' + b"0," * MAX_VALUES + b"0]}")
    assert refused.value.status == 413


def test_what_can_be_read_but_not_written_is_nested_too_deeply() -> None:
    """One is a level deeper than the other, so there is a body for which only the first succeeds."""
    refusals = set()
    for depth in range(900, 1000):
        raw = b'{"a":' * depth + b"1" + b"}" * depth
        try:
            written({"response_format": {"json_schema": {"schema": read_object(raw)}}})
        except ApiError as refused:
            refusals.add((refused.status, refused.message.partition(":")[0]))
    assert {status for status, _ in refusals} == {400}
    assert (400, "The request body is nested too deeply. Send flatter JSON.") in refusals


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "'a'"),
        ("x" * 100, "'" + "x" * 76 + "..."),
        (5, "5"),
        (None, "None"),
        ([1, {"a": "b"}], "[1, {'a': 'b'}]"),
        (json.loads("[" * 500 + "]" * 500), "[[[[[[[...]]]]]]]"),
    ],
)
def test_what_is_shown_of_a_request_is_short(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_what_is_shown_takes_no_time() -> None:
    began = time.process_time()
    for value in ("中" * 10**7, [[0] * 1000] * 1000, {str(number): number for number in range(10**5)}):
        assert len(shown(value)) <= 80
    assert time.process_time() - began < 0.2
