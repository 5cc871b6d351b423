"""The values that keys of models.yaml take: sizes, addresses, times, names that clients send."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, TypeAdapter

from deployment.quantities import MAX_WAIT_S


def _whole_bytes(value: Any) -> Any:
    """Refuse what ByteSize would round or read as decimal bytes by accident: `1.5`, `true`."""
    if isinstance(value, bool | float):
        raise ValueError("not a size")
    return value


def _positive(value: ByteSize) -> ByteSize:
    if value <= 0:
        raise ValueError("not a size")
    return value


def _address(value: str) -> str:
    """Refuse what has the form of an address and is none: no socket could be bound to it."""
    host, _, port = value.rpartition(":")
    if not 0 < int(port) < 2**16 or (host != "localhost" and any(int(part) > 255 for part in host.split("."))):
        raise ValueError("not an address")
    return value


def distinct(value: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what is listed twice."""
    if len(set(value)) < len(value):
        raise ValueError("the same address twice")
    return value


SIZE = "a size with its unit, such as 512MiB or 12GiB"
Size = Annotated[ByteSize, BeforeValidator(_whole_bytes), AfterValidator(_positive)]
SIZE_ADAPTER: TypeAdapter[ByteSize] = TypeAdapter(Size)
# What a client may send as "model" besides the canonical name: hub ids and Ollama tags hold / : and dots.
Alias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,95}$")]

Word = Annotated[str, Field(pattern=r"^\w+(\+\+|#)?$", max_length=40)]
Parameter = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]

Address = Annotated[str, Field(pattern=r"^(\d{1,3}(\.\d{1,3}){3}|localhost):\d{1,5}$"), AfterValidator(_address)]

HostFile = Annotated[str, Field(pattern=r"^(/[\w@%+=:,.-]+)+$", max_length=4096)]
"""A file on a host by its whole path, as it stands in a unit too: no blank, no quote, no dollar sign."""

HIDDEN = (("tmp",), ("var", "tmp"), ("home",), ("root",), ("run", "user"))
"""Directories that PrivateTmp= and ProtectHome= of its unit hide from the gateway on a host."""


def _seen(value: str) -> str:
    """Refuse what the gateway cannot see."""
    parts = tuple(value.split("/")[1:])
    if any(parts[: len(each)] == each for each in HIDDEN):
        raise ValueError("hidden from the gateway")
    return value


# sun_path of unix(7) holds 107 bytes and a zero.
SocketFile = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_@%+=:,.-]+)+$", max_length=107), AfterValidator(_seen)]

# The longest a stop may take: process runners are told once, for every engine, to wait a little longer.
MAX_DRAIN_S = 600
Wait = Annotated[float, Field(ge=0, le=MAX_DRAIN_S, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=MAX_WAIT_S, strict=True)]
