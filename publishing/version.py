"""The project's one number: what it may be next, and the two files that state it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

SOURCE = Path("gateway/__init__.py")
STATED = {
    SOURCE: re.compile(r'(?m)^(__version__ = ")([^"]+)(")'),
    Path("policy/PulumiPolicy.yaml"): re.compile(r"(?m)^(version: )(\S+)()"),
}
FORM = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})", re.ASCII)


class Version(NamedTuple):
    """Compared number by number, as semantic versioning orders them."""

    major: int
    minor: int
    patch: int

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None where the text is not three plain numbers."""
        match = FORM.fullmatch(text)
        return cls(*map(int, match.groups())) if match else None

    @property
    def tag(self) -> str:
        return f"v{self}"

    def __str__(self) -> str:
        return ".".join(map(str, self))


def stated(file: Path, text: str) -> str:
    """The version that a file states."""
    match = STATED[file].search(text)
    assert match is not None, f"{file}: no version"
    return match[2]


def restated(file: Path, text: str, version: Version) -> str:
    """The file's text with another version and no other change."""
    return STATED[file].sub(rf"\g<1>{version}\g<3>", text, count=1)


def problems(asked: str, current: str, tags: Iterable[str]) -> list[str]:
    """Why the sources, at `current`, cannot become the version that is asked for."""
    if not asked:
        return ["VERSION: missing. Run: make release VERSION=1.2.3"]
    wanted = Version.read(asked)
    if wanted is None:
        return [f"VERSION: not three numbers such as 1.2.3, got {asked}. Correct it."]
    if wanted.tag in tags:
        return [f"VERSION: the tag {wanted.tag} exists, got {asked}. Choose the next number."]
    released = (Version.read(tag.removeprefix("v")) for tag in tags if tag.startswith("v"))
    newest = max((version for version in (*released, Version.read(current)) if version), default=wanted)
    if wanted < newest:
        return [f"VERSION: older than {newest}, got {asked}. Choose a later number."]
    return []
