"""What has its name has its content on the disk: each write is synced before it gets its name, its directory after."""

import ast
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import agent
from agent import durable, releases, seal
from agent.durable import put_in_place, replace_file, replace_link
from agent.protocol import SealOrder

ONHOST = Path(agent.__file__).parent


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the kernel, in order, by name of the file that it is about."""
    asked: list[str] = []

    def name(opened: int) -> str:
        return Path(f"/proc/self/fd/{opened}").readlink().name

    def fsync(opened: int) -> None:
        asked.append(f"fsync {name(opened)}")

    def replace(self: Path, to: Path) -> None:
        asked.append(f"rename {self.name} {to.name}")
        os.replace(self, to)  # noqa: PTH105 - what is replaced here calls it

    class Kernel:
        def syncfs(self, opened: int) -> int:
            asked.append(f"syncfs {name(opened)}")
            return 0

    monkeypatch.setattr(durable, "libc", Kernel)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    return asked


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / "d").mkdir()
    replace_file(tmp_path / "d" / "a", "text", mode=0o640)
    assert calls == ["fsync .a.new", "rename .a.new a", "fsync d"]
    assert ((tmp_path / "d" / "a").read_text(), (tmp_path / "d" / "a").stat().st_mode & 0o777) == ("text", 0o640)


def test_a_link_is_never_away(tmp_path: Path, calls: list[str]) -> None:
    for to in ("one", "two"):
        replace_link(tmp_path / "current", to)
    assert calls == ["rename .current.new current", f"fsync {tmp_path.name}"] * 2
    assert (tmp_path / "current").readlink() == Path("two")


def test_a_tree_is_on_the_disk_before_it_has_its_name(tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / ".r.new" / "deep").mkdir(parents=True)
    put_in_place(tmp_path / ".r.new", tmp_path / "r")
    assert calls == ["syncfs .r.new", "rename .r.new r", f"fsync {tmp_path.name}"]


def test_a_seal_comes_after_all_that_it_speaks_of(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["seal.py", SealOrder(do="seal", build=str(tmp_path)).to_json()])
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}"))
    seal.main()
    build = tmp_path.name
    assert calls == [
        f"syncfs {build}", "fsync .manifest.json.new", "rename .manifest.json.new manifest.json", f"fsync {build}",
    ]  # fmt: skip


def test_nothing_is_confirmed_that_is_not_on_the_disk(tmp_path: Path, calls: list[str]) -> None:
    releases.confirm(tmp_path, "r1")
    assert calls[-1] == f"syncfs {tmp_path.name}"


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kernel:
        def syncfs(self, _opened: int) -> int:
            return -1

    monkeypatch.setattr(durable, "libc", Kernel)
    with pytest.raises(OSError, match=str(tmp_path)):
        durable.settle(tmp_path)


# Each of them says why a power cut takes nothing that matters.
NOT_SYNCED = {
    "durable.py": "is the one place",
    "content.py": "what is renamed there was synced when its digest was read, or is about to be removed",
    "secrets.py": "below /run, which is memory",
    "engine_unit.py": "what a launcher that runs says of itself: it means nothing after a power cut",
    "job_log.py": "the same, where the disk takes no result",
}


def renames(source: str) -> list[int]:
    """Lines that give a file another name: Path.replace takes one argument, str's two, datetime's have names."""
    found: list[Any] = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        node.lineno
        for node in found
        if isinstance(node.func, ast.Attribute)
        and (
            node.func.attr == "rename"
            or (node.func.attr == "replace" and len(node.args) == 1 - any(one.arg == "target" for one in node.keywords))
        )
    ]


def test_whatever_gets_a_name_on_a_host_gets_it_in_one_place() -> None:
    renaming = {path.name for path in ONHOST.glob("*.py") if renames(path.read_text(encoding="utf-8"))}
    assert renaming - NOT_SYNCED.keys() == set()
    assert (
        renames("draft.replace(path)") == renames("draft.replace(target=path)") == renames("draft.rename(path)") == [1]
    )
    assert renames("text.replace(a, b)") == renames("time.replace(tzinfo=UTC)") == []
