"""The keys that clients of a gateway must send: a line each, and behind each what it may do.

    KEY name=alice models=alpha,beta requests_per_minute=60 tokens_per_day=100000

A bare KEY may do everything. In a key's place its digest may stand, `sha256:` and 64 hexadecimal digits. Empty lines,
and those that begin with #, say nothing. No message repeats a word of a line: any word may be a part of a key.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

SHORT = 16
"""Characters. SHA-256 without a salt hides what nobody can guess, and nothing else: digests of short keys can be tried
through. They are told of and not refused: a gateway that has them today must not lose its clients over an update."""
DIGEST = "sha256:"
SETTINGS = ("name", "models", "requests_per_minute", "tokens_per_day")
MOST = 10**12
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MODEL = re.compile(r"[^\s,=]{1,200}")


@dataclass(frozen=True, kw_only=True)
class ClientKey:
    """One key: whose it is, and what it may do. None means no limit."""

    digest: bytes
    name: str
    models: "tuple[str, ...] | None" = None
    requests_per_minute: "int | None" = None
    tokens_per_day: "int | None" = None

    @property
    def rights(self) -> "tuple[object, ...]":
        """What two keys of one name must share: they are one caller's, as while one replaces the other."""
        return self.models, self.requests_per_minute, self.tokens_per_day


@dataclass(frozen=True)
class KeyList:
    """What a text says. Where there are problems, none of its keys may be taken over."""

    keys: "tuple[ClientKey, ...]"
    problems: "tuple[str, ...]"
    warnings: "tuple[str, ...]"


class _LineError(ValueError):
    """What is wrong with one line."""


def key_list(text: str) -> KeyList:
    """Read every line."""
    keys: dict[int, ClientKey] = {}
    problems, warnings = [], []
    for number, words in _lines(text):
        try:
            key = _key(words)
            _refuse_clash(key, keys)
        except _LineError as problem:
            problems.append(f"line {number}: {problem}")
            continue
        keys[number] = key
        if not words[0].startswith(DIGEST) and len(words[0]) < SHORT:
            warnings.append(f"line {number}: the key has less than {SHORT} characters. Give its owner a longer one.")
    return KeyList(tuple(keys.values()), tuple(problems), tuple(warnings))


def digests(text: str) -> str:
    """Return the same list without any key, each line where it was. A comment may hold an old key: it is left out."""
    lines = [""] * len(text.splitlines())
    for number, (first, *settings) in _lines(text):
        shown = first if first.startswith(DIGEST) else f"{DIGEST}{_digest(first).hex()}"
        lines[number - 1] = " ".join((shown, *settings))
    return "".join(f"{line}\n" for line in lines)


def _lines(text: str) -> "Iterator[tuple[int, list[str]]]":
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield number, words


def _key(words: "list[str]") -> ClientKey:
    first, *rest = words
    if first.partition("=")[0] in SETTINGS:
        raise _LineError("the key is missing. Put it first, and its settings behind it.")
    digest = _digest(first)
    said: dict[str, str] = {}
    for place, word in enumerate(rest, start=2):
        setting, equals, value = word.partition("=")
        if not equals or setting not in SETTINGS:
            raise _LineError(f"word {place} is no setting. Use {', '.join(f'{each}=' for each in SETTINGS)}.")
        if setting in said:
            raise _LineError(f"{setting} is there twice. Give it once.")
        said[setting] = value
    return ClientKey(
        digest=digest,
        name=_name(said.get("name", digest.hex()[:8])),
        models=_models(said.get("models")),
        requests_per_minute=_number("requests_per_minute", said.get("requests_per_minute")),
        tokens_per_day=_number("tokens_per_day", said.get("tokens_per_day")),
    )


def _digest(word: str) -> bytes:
    if not word.startswith(DIGEST):
        return hashlib.sha256(word.encode(errors="replace")).digest()
    digits = word.removeprefix(DIGEST).lower()
    if not _HEX.fullmatch(digits):
        raise _LineError("no digest follows sha256:. Give 64 hexadecimal digits, as sha256sum prints them.")
    return bytes.fromhex(digits)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise _LineError("no usable name. Give up to 64 letters, digits, dots, dashes or underscores.")
    return value


def _models(value: "str | None") -> "tuple[str, ...] | None":
    if value is None:
        return None
    names = value.split(",")
    if not all(map(_MODEL.fullmatch, names)):
        raise _LineError("models: no list of names. Separate models by commas without spaces, or leave it out for all.")
    return tuple(names)


def _number(setting: str, value: "str | None") -> "int | None":
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= 13 and 1 <= int(value) <= MOST):
        raise _LineError(f"{setting}: no whole number from 1 on. Give one, or leave it out for no limit.")
    return int(value)


def _refuse_clash(key: ClientKey, before: "dict[int, ClientKey]") -> None:
    for number, other in before.items():
        if other.digest == key.digest:
            raise _LineError(f"the key of line {number} again. Delete one of the two.")
        if other.name == key.name and other.rights != key.rights:
            raise _LineError(f"the name of line {number} with other rights. Give both the same, or another name.")
