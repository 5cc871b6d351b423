"""A file of packed weights: written once, mapped by every later start, and believed only where all of it is as written.

    0      a line: MAGIC, where the header begins, its length and its SHA-256; blanks up to the first page
    4096   the weights, each from the beginning of a page, zeros up to the next
    ...    the header: JSON with the facts that the weights were made from, and for each its place and digests

Standard library only: `python -m axion_kernels.packed_file FILE...` reads each file whole and compares every SHA-256.
"""

import fcntl
import hashlib
import json
import mmap
import os
import re
import stat
import sys
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MAGIC = "axion.packed-weights/1"
PAGE = 4096
PREAMBLE = re.compile(rb"%b (\d{1,20}) (\d{1,20}) ([0-9a-f]{64})\n *" % re.escape(MAGIC.encode()))
SUFFIX = ".packed"
SPARE_BYTES = 1 << 30
"""What making a file leaves free on its disk: engines write caches and logs there."""


class PackedFileError(Exception):
    """Why a file cannot be used, or could not be made."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One packed weight to be kept."""

    recipe: Mapping[str, Any]
    """What it was made of and how; who takes it compares that with what it needs."""
    content: memoryview
    total: int
    """The sum of its little-endian words of 64 bits, zeros up to the last, without what overflows.

    It changes with each flipped bit and each lost page, and is made at the speed of memory, where SHA-256 takes a
    second for every half to two gigabytes. It stops nobody who means to deceive: only the engine's account writes here.
    """


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one lies in the file."""

    recipe: Mapping[str, Any]
    begin: int
    size: int
    total: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A mapped file whose header is as written; whether its weights are, the caller adds up."""

    entries: Mapping[str, Entry]
    pages: mmap.mmap


def name_of(role: str, facts: Mapping[str, Any]) -> str:
    """The name of the file of weights that were made from these, for this part of an engine."""
    return f"{role}-{hashlib.sha256(_json(facts)).hexdigest()[:16]}{SUFFIX}"


def open_file(path: Path, facts: Mapping[str, Any]) -> PackedFile:
    """Map a file that this account made from these facts. Raises PackedFileError, and FileNotFoundError."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PackedFileError(f"{path.name}: {error.strerror}") from None
    try:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode):
            raise PackedFileError(f"{path.name}: no regular file")
        if about.st_uid != os.geteuid() or about.st_mode & 0o022:
            raise PackedFileError(f"{path.name}: somebody else can write it, uid {about.st_uid}")
        if about.st_size < PAGE:
            raise PackedFileError(f"{path.name}: torn, {about.st_size} bytes")
        pages = mmap.mmap(opened, 0, access=mmap.ACCESS_READ)  # shared and read-only
    finally:
        os.close(opened)
    try:
        header = _header(path.name, pages)
        if header["facts"] != json.loads(_json(facts)):
            differing = [key for key in {*facts, *header["facts"]} if header["facts"].get(key) != facts.get(key)]
            raise PackedFileError(f"{path.name}: made from something else: {', '.join(sorted(differing))}")
        return PackedFile({name: Entry(**entry) for name, entry in header["weights"].items()}, pages)
    except BaseException:
        pages.close()
        raise


def _header(name: str, pages: mmap.mmap) -> dict[str, Any]:
    found = PREAMBLE.fullmatch(pages[:PAGE])
    if found is None:
        raise PackedFileError(f"{name}: no packed weights")
    begin, size = int(found[1]), int(found[2])
    if begin + size != len(pages):
        raise PackedFileError(f"{name}: torn, {len(pages)} bytes of {begin + size}")
    text = pages[begin:]
    if hashlib.sha256(text).hexdigest() != found[3].decode():
        raise PackedFileError(f"{name}: its header is damaged")
    header: dict[str, Any] = json.loads(text)
    return header


def problems(path: Path) -> list[str]:
    """What is wrong with a file, by all of its digests."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
            if len(pages) < PAGE:
                return [f"{path.name}: torn, {len(pages)} bytes"]
            entries = {name: Entry(**entry) for name, entry in _header(path.name, pages)["weights"].items()}
            with memoryview(pages) as content:
                return [
                    f"{path.name}: {name} is damaged"
                    for name, entry in entries.items()
                    if _sha256(content[entry.begin : entry.begin + entry.size]) != entry.sha256
                ]
    except (OSError, ValueError, PackedFileError) as error:
        return [str(error)]


def make_file(path: Path, facts: Mapping[str, Any], weights: Mapping[str, Weight]) -> int:
    """Write a file, and give it its name once all of it is on the disk; return its size.

    Raises PackedFileError, and nothing of the try is left then. Of several that make files in one directory one does;
    what a maker that was killed left goes before.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _only_maker(path.parent):
            for left in path.parent.glob(".*.part"):
                left.unlink()
            return _make(path, facts, weights)
    except OSError as error:
        raise PackedFileError(f"{error.strerror}: {path}") from None


@contextmanager
def _only_maker(directory: Path) -> Generator[None]:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(opened).st_uid != os.geteuid():
            raise PackedFileError(f"{directory}: somebody else's")
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PackedFileError(f"{directory}: another engine makes one there") from None
        yield
        os.fsync(opened)
    finally:
        os.close(opened)


def _make(path: Path, facts: Mapping[str, Any], weights: Mapping[str, Weight]) -> int:
    entries, end = {}, PAGE
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        digests = pool.map(_sha256, [weight.content for weight in weights.values()])
        for (name, weight), sha256 in zip(weights.items(), digests, strict=True):
            size = len(weight.content)
            entries[name] = Entry(dict(weight.recipe), end, size, weight.total, sha256)
            end += size + -size % PAGE
    header = _json({"facts": dict(facts), "weights": {name: asdict(entry) for name, entry in entries.items()}})
    preamble = f"{MAGIC} {end} {len(header)} {hashlib.sha256(header).hexdigest()}\n".encode().ljust(PAGE)
    about, whole = os.statvfs(path.parent), end + len(header)
    if (free := about.f_bavail * about.f_frsize) < whole + SPARE_BYTES:
        raise PackedFileError(f"{free / 1e9:.1f} GB free, {whole / 1e9:.1f} GB and 1 GB to spare needed")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, whole)  # a disk that fills meanwhile is seen now
            _put(file.fileno(), 0, preamble)
            for name, weight in weights.items():
                _put(file.fileno(), entries[name].begin, weight.content)
            _put(file.fileno(), end, header)
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return whole


def _put(file: int, begin: int, content: "bytes | memoryview") -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, begin)
        rest, begin = rest[written:], begin + written


def keep_newest(directory: Path, role: str, count: int) -> None:
    """Remove all but the files that were used last."""
    found = list(directory.glob(f"{role}-*{SUFFIX}"))
    for path in sorted(found, key=lambda path: path.lstat().st_mtime, reverse=True)[count:]:
        with suppress(OSError):
            path.unlink()


def _sha256(content: memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def main(files: Iterable[str]) -> int:
    found = [problem for file in files for problem in problems(Path(file))]
    print(json.dumps(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
