"""Writing that outlasts a power cut: what has its name has its content, on the disk itself.

A kernel keeps what is written in memory for half a minute and puts a rename on the disk before the content that it
gives a name to (ext4(5), delalloc; rename(2) promises nothing about a crash). So each file is synced before it gets its
name, and its directory after. Whole trees are synced by their file system, in one go instead of file by file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def libc() -> Any:
    """Return the C library. Asked for where it is used: macOS, from where hosts are deployed to, has no syncfs."""
    import ctypes  # noqa: PLC0415 - it makes memory to write and run; the gateway, which replaces files, may not

    return ctypes.CDLL(None, use_errno=True)


def settle(path: Path) -> None:
    """Have all that was written to the file system of `path` on its disk. Raises OSError where that fails."""
    import ctypes  # noqa: PLC0415 - as above

    opened = os.open(path, os.O_RDONLY)
    try:
        if libc().syncfs(opened):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(opened)


def settle_directory(path: Path) -> None:
    """Have the names in a directory on its disk."""
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def replace_file(path: Path, content: "str | bytes", *, mode: int = 0o600) -> None:
    """Replace a file: who looks, and who looks after a power cut, sees the old content or the new, each of it whole."""
    replace_files({path: content}, mode=mode)


def replace_files(contents: "Mapping[Path, str | bytes]", *, mode: int = 0o600) -> None:
    """Replace files in turn, once all of them are on the disk: where it is full, none. Raises OSError."""
    drafts = {path: path.with_name(f".{path.name}.new") for path in contents}
    try:
        for path, draft in drafts.items():
            _write(draft, contents[path], mode)
    except OSError:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
        raise
    for path, draft in drafts.items():
        rename_for_good(draft, path)


def _write(draft: Path, content: "str | bytes", mode: int) -> None:
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(opened, "wb") as file:
        os.fchmod(file.fileno(), mode)  # of one that an earlier try left, and whatever the umask
        file.write(content if isinstance(content, bytes) else content.encode())
        file.flush()
        os.fsync(file.fileno())


def replace_link(path: Path, to: str) -> None:
    """Point a symbolic link elsewhere; it is never away."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(to)
    rename_for_good(draft, path)


def rename_for_good(draft: Path, path: Path) -> None:
    """Give something that is on the disk already its name, for good."""
    draft.replace(path)
    settle_directory(path.parent)


def put_in_place(draft: Path, path: Path) -> None:
    """Give a tree its name once all of it is on the disk. Nothing, or an empty directory, has had that name."""
    settle(draft)
    rename_for_good(draft, path)
