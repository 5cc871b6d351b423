"""Property values between the wire and Python: numbers that are whole, secrets, and what is not known in a preview."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value

Json = dict[str, Any]
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"


def _plain(value: Value, secrets: list[bool]) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return int(value.number_value) if value.number_value.is_integer() else value.number_value
    if kind == "struct_value":
        fields = value.struct_value.fields
        if SIGNATURE in fields and fields[SIGNATURE].string_value == SECRET:
            secrets.append(True)
            return _plain(fields["value"], secrets)
        return {key: _plain(inner, secrets) for key, inner in fields.items()}
    if kind == "list_value":
        return [_plain(inner, secrets) for inner in value.list_value.values]
    if kind in (None, "null_value"):
        return None
    return getattr(value, str(kind))


def received(struct: Struct) -> tuple[Json, frozenset[str]]:
    """Plain values, and which top-level properties hold a secret anywhere. Nulls are absent."""
    plain, secret = {}, set()
    for key, value in struct.fields.items():
        found: list[bool] = []
        inner = _plain(value, found)
        if inner is not None and not key.startswith("__"):
            plain[key] = inner
        if found:
            secret.add(key)
    return plain, frozenset(secret)


def _wire(value: Any) -> Value:
    if value is None:
        return Value(null_value=0)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int | float):
        return Value(number_value=value)
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, list | tuple):
        return Value(list_value=ListValue(values=[_wire(inner) for inner in value]))
    return Value(struct_value=Struct(fields={key: _wire(inner) for key, inner in value.items()}))


def sent(properties: Mapping[str, Any], secret: frozenset[str] = frozenset()) -> Struct:
    """Wire values, with secret properties marked."""
    fields = {}
    for key, value in properties.items():
        if value is not None:
            is_secret = key in secret and value != UNKNOWN
            fields[key] = _wire({SIGNATURE: SECRET, "value": value} if is_secret else value)
    return Struct(fields=fields)


def has_unknown(value: Any) -> bool:
    """Whether anything inside is not known yet."""
    if isinstance(value, dict):
        return any(has_unknown(inner) for inner in value.values())
    if isinstance(value, list):
        return any(has_unknown(inner) for inner in value)
    return bool(value == UNKNOWN)


def refreshed(given: Any, there: Any) -> Any:
    """An input as the cloud has it now, with the parts that were given."""
    if isinstance(given, dict) and isinstance(there, dict):
        return {name: refreshed(value, there.get(name)) for name, value in given.items()}
    if isinstance(given, list) and isinstance(there, list) and len(given) == len(there):
        return [refreshed(one, other) for one, other in zip(given, there, strict=True)]
    return given if there is None else there
