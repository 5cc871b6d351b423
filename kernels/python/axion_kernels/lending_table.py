"""The table through which engines of a host lend each other cores: a folder in memory with one card for each engine.

A card is written by its engine alone, but for the list of its guests: the owner of a core strikes out whom it has sent
home. Nobody waits for anybody, and the dead release nothing: the kernel drops the lock on a card when its process ends.

    0   8 bytes  axcores1, the version of this layout
    8   u64      state: when it began, CLOCK_MONOTONIC in ns, times four; plus 0 loading, 1 stepping, 2 resting
    16  u64      cores in use now
    64  128      home: a bit for each core
    256 u64 each guests, its threads on others' cores: thread << 32 | core; 0 is none
"""

import fcntl
import io
import mmap
import os
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from axion_kernels.lending_shares import Engine, Kind

MAGIC = b"axcores1"
BYTES = 4096
STATE, IN_USE = 1, 2  # 64-bit words
HOME = slice(64, 192)
GUESTS = slice(256, BYTES)
NOBODY = bytes(GUESTS.stop - GUESTS.start)
KINDS: tuple[Kind, ...] = ("loading", "stepping", "resting")
SUFFIX = ".cores"
FLOCK = "hh4xqqi4x"  # struct flock of 64-bit Linux


class TableError(Exception):
    """The table cannot be used; the text says why and what to do."""


class Card:
    """What one engine says of itself, in memory that all of them map."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        self.name = path.name.removesuffix(SUFFIX)
        if (magic := os.pread(file.fileno(), 8, 0)) != MAGIC:
            raise TableError(f"{path}: version {MAGIC!r} is needed, got {magic!r}. Restart all engines of the host.")
        self._file = file
        # Unmapped when nobody refers to it any more: threads of a region may still read it.
        self.memory = mmap.mmap(file.fileno(), BYTES)
        self.words = memoryview(self.memory).cast("Q")
        bits = int.from_bytes(self.memory[HOME], "little")
        self.home = tuple(core for core in range(bits.bit_length()) if bits >> core & 1)

    @classmethod
    def claim(cls, folder: Path, name: str, home: tuple[int, ...]) -> "Card":
        """Write the card of this process's engine, which loads. Another process's of the same name is replaced."""
        _own_folder(folder)
        draft = folder / f"{name}.{os.getpid()}"
        file = _opened(draft, os.O_CREAT | os.O_TRUNC)
        bits = sum(1 << core for core in home).to_bytes(HOME.stop - HOME.start, "little")
        begun = state_word("loading", time.monotonic_ns())
        head = struct.pack("=8sQQ40x128s", MAGIC, begun, len(home), bits)
        os.pwrite(file.fileno(), head.ljust(BYTES, b"\0"), 0)
        # Of the process, not of the file: a forked child cannot keep it for the dead.
        fcntl.fcntl(file, fcntl.F_SETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        path = draft.rename(folder / f"{name}{SUFFIX}")
        return cls(path, file)

    @classmethod
    def read(cls, folder: Path, name: str) -> "Card":
        """Map another process's card."""
        path = folder / f"{name}{SUFFIX}"
        return cls(path, _opened(path))

    @property
    def is_alive(self) -> bool:
        """Whether another process holds it. One's own locks do not count."""
        asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind: int = struct.unpack(FLOCK, fcntl.fcntl(self._file, fcntl.F_GETLK, asked))[0]
        return kind != fcntl.F_UNLCK

    def engine(self) -> Engine:
        """Read what it says now."""
        state = self.words[STATE]
        return Engine(self.name, self.home, KINDS[min(state & 3, 2)], state >> 2, self.is_alive)

    def guests(self) -> list[tuple[int, int]]:
        """Its threads on others' cores: the thread's number and the core."""
        written = self.memory[GUESTS]
        if written == NOBODY:  # nearly always: this is read at every step
            return []
        return [(word >> 32, word & 0xFFFFFFFF) for word in memoryview(written).cast("Q") if word]

    def strike_out(self, thread: int, core: int) -> None:
        """Note that a guest was sent home."""
        for index in range(GUESTS.start // 8, GUESTS.stop // 8):
            if self.words[index] == thread << 32 | core:
                self.words[index] = 0

    def say_in_use(self, cores: int) -> None:
        """Tell whoever counts on how many cores it computes."""
        self.words[IN_USE] = cores

    def strike_all(self) -> None:
        """Begin a new list of guests."""
        self.memory[GUESTS] = NOBODY


class Others:
    """The cards of all other engines, as they come and go."""

    def __init__(self, folder: Path, me: str) -> None:
        self._folder, self._mine = folder, f"{me}{SUFFIX}"
        self._cards: dict[tuple[str, int], Card | None] = {}

    @property
    def are_all_read(self) -> bool:
        """Whether every card is of this version. Whose card cannot be read may be at home on any core."""
        return None not in self._cards.values()

    def __iter__(self) -> Iterator[Card]:
        """Read the folder again: cards are few, and a restarted engine has a new one."""
        try:
            with os.scandir(self._folder) as entries:
                there = {(entry.name, entry.inode()) for entry in entries if entry.name.endswith(SUFFIX)}
        except FileNotFoundError:  # removed by hand: nothing is known of anybody
            self._cards = {(self._mine, 0): None}
            return iter(())
        for gone in self._cards.keys() - there:
            del self._cards[gone]
        for key in there - self._cards.keys():
            if key[0] != self._mine:
                self._open(key)
        return iter([card for card in self._cards.values() if card is not None])

    def _open(self, key: tuple[str, int]) -> None:
        try:
            self._cards[key] = Card.read(self._folder, key[0].removesuffix(SUFFIX))
        except FileNotFoundError:  # replaced meanwhile
            return
        except TableError:
            self._cards[key] = None


def _opened(path: Path, flags: int = 0) -> io.FileIO:
    return io.FileIO(os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600), "r+")


def state_word(kind: Kind, since_ns: int) -> int:
    """A state as one word, which is stored in one piece."""
    return since_ns << 2 | KINDS.index(kind)


def _own_folder(folder: Path) -> None:
    """Make the folder, or refuse one that somebody else has put there: /dev/shm is everybody's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise TableError(f"{folder}: not a folder of user {os.geteuid()}, got one of {found.st_uid}. Remove it.")
