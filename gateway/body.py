"""What the gateway reads in a request body, and the one value that it may change there."""

import json
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


def with_model(raw: bytes, model: str) -> bytes:
    """Return the body with another value of `model` and every other byte as it was.

    The body must have passed read_asked. Splicing instead of re-serialising keeps numbers, escapes and
    repeated keys exactly as the client wrote them.
    """
    text = raw.decode()
    value = json.dumps(model)
    spans = value_spans(text, "model")
    if not spans:
        start = text.index("{") + 1
        separator = "" if text[_skip(text, start)] == "}" else ", "
        return f'{text[:start]}"model": {value}{separator}{text[start:]}'.encode()
    for start, end in reversed(spans):  # every one: which of two equal keys counts is the reader's choice
        text = text[:start] + value + text[end:]
    return text.encode()


def value_spans(text: str, wanted: str) -> list[tuple[int, int]]:
    """Return where the top-level values of a key stand in the text of a JSON object."""
    spans: list[tuple[int, int]] = []
    position = _skip(text, text.index("{") + 1)
    while text[position] != "}":
        key, after_key = _DECODER.raw_decode(text, position)
        start = _skip(text, _skip(text, after_key) + 1)  # over the colon
        _, end = _DECODER.raw_decode(text, start)
        if key == wanted:
            spans.append((start, end))
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return spans


def _skip(text: str, position: int) -> int:
    while text[position] in _WHITESPACE:
        position += 1
    return position
