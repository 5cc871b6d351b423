"""What two programs of ours say to each other is read by the class that wrote it, or every difference is named."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from agent.message import Message, MessageError
from agent.protocol import ReleaseDescription, RunningEngine


@dataclass(frozen=True)
class Wheel:
    name: str
    size_bytes: int


@dataclass(frozen=True)
class Cart(Message):
    SCHEMA: ClassVar[str] = "axion.cart/1"

    wheels: tuple[Wheel, ...]
    by_name: Mapping[str, Wheel | None]
    load: Literal["hay", "none"] = "none"
    factor: float = 1.0
    first: "Wheel | str | None" = None


CART = Cart(wheels=(Wheel("left", 3),), by_name={"x": None, "y": Wheel("right", 4)}, load="hay", factor=2, first="none")
TEXT = (
    '{"schema": "axion.cart/1", "wheels": [{"name": "left", "size_bytes": 3}], "by_name": {"x": null, "y": '
    '{"name": "right", "size_bytes": 4}}, "load": "hay", "factor": 2, "first": "none"}'
)


def test_a_document_is_one_line_that_names_its_schema() -> None:
    assert CART.to_json() == TEXT


def test_what_is_read_is_what_was_written() -> None:
    assert Cart.from_json(TEXT) == CART


def test_what_may_be_left_out_has_its_default() -> None:
    assert Cart.from_json('{"schema": "axion.cart/1", "wheels": [], "by_name": {}}') == Cart(wheels=(), by_name={})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"schema": "axion.cart/2", "wheels": [], "by_name": {}}',
            "axion.cart/1 is understood here, got 'axion.cart/2'",
        ),
        ("[1]", "axion.cart/1 is understood here, got [1]"),
        ('{"wheels": []}', "axion.cart/1 is understood here, and this names no schema"),
        ("{", "axion.cart/1: no JSON: Expecting property name"),
        ("[" * 100_000, "axion.cart/1: no JSON: "),
    ],
)
def test_another_document_is_not_understood(text: str, said: str) -> None:
    with pytest.raises(MessageError) as refused:
        Cart.from_json(text)
    assert str(refused.value).startswith(said)


def test_every_difference_is_named() -> None:
    document = {
        "schema": "axion.cart/1",
        "wheels": [{"name": 1, "size_bytes": True, "colour": "red"}, "round"],
        "load": "straw",
        "factor": "2",
        "first": 5,
    }
    with pytest.raises(MessageError) as refused:
        Cart.from_data(document)
    assert str(refused.value) == (
        "axion.cart/1: by_name is missing; wheels[0].colour is unknown; wheels[0].name is no text, got 1; "
        "wheels[0].size_bytes is no whole number, got True; wheels[1] is no mapping, got 'round'; "
        "load is no hay or none, got 'straw'; factor is no number, got '2'; first is none of what it may be, got 5"
    )


def deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("place", ["schema", "load", "wheels", "by_name", "first", "it"])
def test_a_deep_document_is_told_in_a_few_words(place: str) -> None:
    """Deeper than Python follows it to print it."""
    document = deep(100_000) if place == "it" else {"schema": "axion.cart/1", "wheels": [], "by_name": {}}
    if place != "it":
        document[place] = deep(100_000)
    with pytest.raises(MessageError, match=r"^axion\.cart/1") as refused:
        Cart.from_data(document)
    assert str(refused.value).endswith("got [[[[...]]]]")


def test_names_that_nobody_can_print_are_told_on_one_line_and_not_all_of_many() -> None:
    odd = {"a\nb": 1, "\ud800": 2, "": 3, "n" * 100: 4, **{f"x{number}": number for number in range(50)}}
    with pytest.raises(MessageError) as refused:
        Cart.from_data({"schema": "axion.cart/1", "wheels": [], "by_name": {}, **odd})
    assert str(refused.value) == (
        "axion.cart/1: '' is unknown; 'a\\nb' is unknown; '"
        + "n" * 56
        + "... is unknown; x0 is unknown; x1 is unknown; "
        "x10 is unknown; x11 is unknown; x12 is unknown; 46 more"
    )
    with pytest.raises(MessageError) as refused:
        Cart.from_data({"schema": "axion.cart/1", "wheels": [], "by_name": {"\ud800": 1}})
    str(refused.value).encode()


def test_a_release_from_before_schemas_had_names_is_read() -> None:
    document = {
        "schema": 1, "digest": "d", "created_at": "then", "source": "s", "build": "b",
        "units": {"a": "1", "gateway": "2"}, "gateway_config_digest": "c", "files": {"x": "3"},
        "listen": ["127.0.0.1:8080"],
    }  # fmt: skip
    release = ReleaseDescription.from_data(document)
    assert (release.sequence, release.follows, release.engines) == (0, None, {"a": "1"})


def test_of_what_others_write_as_well_only_what_is_needed_is_read() -> None:
    text = '{"pid": 7, "unit_digest": "u", "boot_id": "b", "session": [1]}'
    assert RunningEngine.from_json(text) == RunningEngine(unit_digest="u", pid=7)
    with pytest.raises(MessageError, match=r"^excerpt: unit_digest is missing; pid is no whole number, got 'x'$"):
        RunningEngine.from_json('{"pid": "x"}')


def test_a_file_without_such_a_document_is_none(tmp_path: Path) -> None:
    assert RunningEngine.of_file(tmp_path / "gone.json") is None
    (tmp_path / "cut.json").write_bytes(b"\0\0\xff")
    assert RunningEngine.of_file(tmp_path / "cut.json") is None


def test_a_name_that_is_no_text_is_still_json_that_everybody_reads() -> None:
    assert Cart(wheels=(Wheel("caf\udce9", 1),), by_name={"\udce9": None}).to_json().count("?") == 2
