"""Which inputs differ from what the cloud had when it was last read, and which of them make a new resource."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.fakes.provider import sdk
from tests.support.fakes.provider.kinds import Kind
from tests.support.fakes.provider.values import UNKNOWN

Json = dict[str, Any]
HOST = re.compile(r"^https://www\.googleapis\.com/compute/(v1|beta)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One path, what happens there, and whether that makes a new resource."""

    path: str
    kind: str
    replaces: bool

    @property
    def top(self) -> str:
        """The input that it belongs to."""
        return re.split(r"[.\[]", self.path)[0]


def same_scalar(new: object, old: object) -> bool:
    """Equal, or two spellings of one number, truth or link."""
    if isinstance(new, bool) or isinstance(old, bool):
        return str(new).lower() == str(old).lower()
    if new == old:
        return True
    if not isinstance(new, str) or not isinstance(old, str):
        return str(new) == str(old)
    short, long = sorted((HOST.sub("", new), HOST.sub("", old)), key=len)
    is_link = long.startswith("projects/")
    return short == long or (is_link and bool(short) and long.endswith(f"/{short}"))


class Comparison:
    """Compare new inputs with the state of one resource."""

    def __init__(self, kind: Kind, ignored: frozenset[str]) -> None:
        self.kind, self.ignored = kind, ignored

    def differences(self, news: Json, state: Json, old_inputs: Json) -> list[Difference]:
        """Everything that differs, by path."""
        shape = sdk.types()[self.kind.token]["inputs"]
        found = []
        for path, what in self._object(news, state, old_inputs, {"object": shape}, ""):
            if not any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in self.ignored):
                new, old = news.get(path, UNKNOWN), state.get(path)
                narrows = new != UNKNOWN and old is not None and self.kind.outgrown(path, new, old)
                replaces = narrows or self.kind.replaces(path)
                found.append(Difference(path=path, kind=what, replaces=replaces))
        return found

    def _object(self, new: Json, old: Json, before: Json, shape: Json, where: str) -> Iterator[tuple[str, str]]:
        for name, value in new.items():
            path = f"{where}.{name}" if where else name
            inner = before.get(name) if isinstance(before, dict) else None
            yield from self._value(value, old.get(name), inner, shape["object"].get(name, {}), path)
        for name in shape["object"]:
            path = f"{where}.{name}" if where else name
            bare = re.sub(r"\[\d+\]", "", path)
            was_given = isinstance(before, dict) and name in before
            is_ours = (was_given and bare not in self.kind.filled_in) or bare in self.kind.empty_when_absent
            if name not in new and is_ours and old.get(name) and old[name] != self.kind.defaults.get(bare):
                yield path, "DELETE"

    def _value(self, new: Any, old: Any, before: Any, shape: Json, path: str) -> Iterator[tuple[str, str]]:
        if new == UNKNOWN or old is None:
            if new == UNKNOWN or not _is_empty(new):
                yield path, "UPDATE" if old is not None else "ADD"
        elif "object" in shape and isinstance(old, dict):
            yield from self._object(new, old, before or {}, shape, path)
        elif "map" in shape and isinstance(old, dict):
            for key in sorted({*new, *old}):
                if key not in new or key not in old:
                    yield f"{path}.{key}", "ADD" if key in new else "DELETE"
                elif not same_scalar(new[key], old[key]):
                    yield f"{path}.{key}", "UPDATE"
        elif "list" in shape and isinstance(old, list):
            yield from self._list(new, old, before, shape["list"], path)
        elif not same_scalar(new, old) and not self.kind.same(path, new, old):
            yield path, "UPDATE"

    def _list(self, new: list[Any], old: list[Any], before: Any, shape: Json, path: str) -> Iterator[tuple[str, str]]:
        if "type" in shape:
            # The API's lists of plain values are sets: ranges, tags, scopes, permissions.
            if len(new) != len(old) or not all(any(same_scalar(one, other) for other in old) for one in new):
                yield path, "UPDATE"
        elif len(new) != len(old):
            yield path, "UPDATE"
        else:
            given = before if isinstance(before, list) and len(before) == len(new) else [{}] * len(new)
            for index, (one, other, earlier) in enumerate(zip(new, old, given, strict=True)):
                yield from self._value(one, other, earlier, shape, f"{path}[{index}]")


def _is_empty(value: object) -> bool:
    return not value
