"""What the gateway reads at the top level of a request body, and what it may change there."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.decoder import JSONDecoder

from gateway.errors import ApiError, bad_request, shown

_DECODER = JSONDecoder()
_WHITESPACE = " \t\n\r"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The two keys that decide where a request goes and how its answer comes back."""

    model: str | None
    stream: bool


def read_asked(raw: bytes) -> Asked:
    """Parse a body once. Raises ApiError for what is not a JSON object with a usable model."""
    try:
        body = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise bad_request("The request body is not UTF-8. Send JSON in UTF-8.") from error
    except RecursionError as error:
        raise bad_request("The request body is nested too deeply. Send flatter JSON.") from error
    except ValueError as error:  # also a number of thousands of digits, which is no JSONDecodeError
        raise bad_request(f"The request body is not JSON: {str(error)[:120]}. Correct it.") from error
    if not isinstance(body, dict):
        raise bad_request(f"The request body must be a JSON object, got {type(body).__name__}. Send an object.")
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise _model_not_a_string(model)
    return Asked(model=model, stream=body.get("stream") is True)


def _model_not_a_string(model: object) -> ApiError:
    return bad_request(f"'model' must be a string, got {shown(model)}. Send a model's name.", param="model")


def with_members(raw: bytes, *, put: Mapping[str, object], remove: Iterable[str] = ()) -> bytes:
    """Return the body with some members set and others removed, and every other byte as it was.

    The body must have passed read_asked. Splicing instead of re-serialising keeps numbers, escapes and
    repeated keys exactly as the client wrote them.
    """
    text = raw.decode()
    for name, value in put.items():
        text = _with(text, name, json.dumps(value))
    for name in remove:
        text = _without(text, name)
    return text.encode()


def _with(text: str, name: str, value: str) -> str:
    spans = _spans(text, name)
    if not spans:
        start = text.index("{") + 1
        separator = "" if text[_skip(text, start)] == "}" else ", "
        return f"{text[:start]}{json.dumps(name)}: {value}{separator}{text[start:]}"
    for _, start, end in reversed(spans):  # every one: which of two equal keys counts is the reader's choice
        text = text[:start] + value + text[end:]
    return text


def _without(text: str, name: str) -> str:
    for start, _, end in reversed(_spans(text, name)):
        after = _skip(text, end)
        if text[after] == ",":
            text = text[:start] + text[_skip(text, after + 1) :]
        else:  # the last one takes the comma before it along
            text = text[:start].rstrip(_WHITESPACE).removesuffix(",") + text[after:]
    return text


def value_spans(text: str, wanted: str) -> list[tuple[int, int]]:
    """Return where the top-level values of a key stand in the text of a JSON object."""
    return [(start, end) for _, start, end in _spans(text, wanted)]


def _spans(text: str, wanted: str) -> list[tuple[int, int, int]]:
    """Return where the top-level members of a name stand: their starts, and the starts and ends of their values."""
    spans: list[tuple[int, int, int]] = []
    position = _skip(text, text.index("{") + 1)
    while text[position] != "}":
        key, after_key = _DECODER.raw_decode(text, position)
        start = _skip(text, _skip(text, after_key) + 1)  # over the colon
        _, end = _DECODER.raw_decode(text, start)
        if key == wanted:
            spans.append((position, start, end))
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return spans


def _skip(text: str, position: int) -> int:
    while text[position] in _WHITESPACE:
        position += 1
    return position
