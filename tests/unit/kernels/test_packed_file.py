"""The file of packed weights: written whole or not at all, and refused when one byte is not as it was written."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from axion_kernels import packed_file
from axion_kernels.packed_file import PackedFileError, Weight, keep_newest, make_file, name_of, open_file, problems

from tests.support.small_disk import small_disk

FACTS: dict[str, Any] = {"checkpoint": {"a.safetensors": [7, 1, None]}, "instructions": "neon"}
CONTENTS = {"first": b"\x01\x02\x03" * 1000, "second": bytes(range(256)) * 16, "third": b"\xff" * 8193}
PAGES = {"first": 1, "second": 2, "third": 3}
HEADER = 6 * 4096
"""Where the header begins: the line, a page each for the first two, and three for the third."""
SOURCES = str(Path(packed_file.__file__).parents[1])


@pytest.fixture(autouse=True)
def _no_spare_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_file, "SPARE_BYTES", 0)


def weights() -> dict[str, Weight]:
    return {name: Weight({"shape": [len(content)]}, memoryview(content), 17) for name, content in CONTENTS.items()}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "packed" / "model0-0.packed"
    assert make_file(path, FACTS, weights()) == path.stat().st_size
    return path


def refusal(path: Path, facts: dict[str, Any] = FACTS) -> str:
    with pytest.raises(PackedFileError) as caught:
        open_file(path, facts)
    return str(caught.value)


def test_what_was_written_is_mapped_page_by_page(made: Path) -> None:
    file = open_file(made, FACTS)
    assert {name: entry.begin for name, entry in file.entries.items()} == {n: 4096 * at for n, at in PAGES.items()}
    assert {name: file.pages[e.begin : e.begin + e.size] for name, e in file.entries.items()} == CONTENTS
    assert {name: (entry.recipe, entry.total) for name, entry in file.entries.items()} == {
        name: ({"shape": [len(content)]}, 17) for name, content in CONTENTS.items()
    }
    assert problems(made) == []


def test_the_mapping_is_shared_and_nobody_can_write_there(made: Path) -> None:
    file = open_file(made, FACTS)
    (mapping,) = (line for line in Path("/proc/self/maps").read_text().splitlines() if str(made) in line)
    assert mapping.split()[1] == "r--s"
    with pytest.raises(TypeError):
        file.pages[4096] = 1


def test_only_the_account_can_read_it(made: Path) -> None:
    assert (made.stat().st_mode & 0o777, made.parent.stat().st_mode & 0o777) == (0o600, 0o700)


LENGTHS = [0, 1, 4095, 4096, 4097, 2 * 4096 + 5, HEADER - 1, HEADER, HEADER + 1, -1]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_torn_file_is_refused(length: int, made: Path) -> None:
    os.truncate(made, length if length >= 0 else made.stat().st_size + length)
    assert f"{made.name}: torn, " in refusal(made)
    assert problems(made) != []


def test_a_file_that_grew_is_refused(made: Path) -> None:
    os.truncate(made, made.stat().st_size + 1)
    assert ": torn, " in refusal(made)


@pytest.mark.parametrize("length", [4096, HEADER, HEADER + 40])
def test_a_file_whose_end_never_reached_the_disk_is_refused(length: int, made: Path) -> None:
    """Of full length, zeros where a power cut left a hole."""
    size = made.stat().st_size
    os.truncate(made, length)
    os.truncate(made, size)
    assert "its header is damaged" in refusal(made)


@pytest.mark.parametrize("at", [0, 5, 23, 27, 40, 70, 110, 500, 4095, HEADER, HEADER + 100, -1])
def test_each_flipped_bit_outside_the_weights_is_noticed(at: int, made: Path) -> None:
    content = bytearray(made.read_bytes())
    content[at] ^= 4
    made.write_bytes(content)
    assert refusal(made).startswith(f"{made.name}: ")


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("at", [0, 777, -1])
def test_each_flipped_bit_of_a_weight_is_named(name: str, at: int, made: Path) -> None:
    entry = open_file(made, FACTS).entries[name]
    content = bytearray(made.read_bytes())
    content[entry.begin + at % entry.size] ^= 1
    made.write_bytes(content)
    assert problems(made) == [f"{made.name}: {name} is damaged"]
    told = subprocess.run(
        [sys.executable, "-m", "axion_kernels.packed_file", str(made)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": SOURCES},
    )  # fmt: skip
    assert (told.returncode, json.loads(told.stdout)) == (1, problems(made))


def test_a_file_made_from_something_else_names_what_differs(made: Path) -> None:
    other = {**FACTS, "instructions": "sve2", "torch": "2.13.0"}
    assert refusal(made, other) == f"{made.name}: made from something else: instructions, torch"


def test_its_name_changes_with_each_fact() -> None:
    names = {name_of("model0", {**FACTS, **change}) for change in ({}, {"instructions": "sve2"}, {"torch": "2"})}
    assert len(names | {name_of("draft0", FACTS)}) == 4


def test_there_may_be_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "model0-1.packed", FACTS)


def test_somebody_elses_file_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: made.stat().st_uid + 1)
    assert ": somebody else can write it" in refusal(made)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_refused(mode: int, made: Path) -> None:
    made.chmod(mode)
    assert ": somebody else can write it" in refusal(made)


def test_a_link_is_not_followed(made: Path, tmp_path: Path) -> None:
    made.rename(tmp_path / "elsewhere")
    made.symlink_to(tmp_path / "elsewhere")
    assert os.strerror(errno.ELOOP) in refusal(made)


def test_neither_a_directory_nor_a_pipe_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "p")
    assert [refusal(tmp_path / name) for name in "dp"] == ["d: no regular file", "p: no regular file"]


def test_a_directory_that_is_a_link_gets_none(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "packed").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackedFileError, match=os.strerror(errno.ENOTDIR)):
        make_file(tmp_path / "packed" / "model0-0.packed", FACTS, weights())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fsync(opened: int) -> None:
        asked.append(f"fsync {Path(f'/proc/self/fd/{opened}').readlink().name}")

    def replace(self: Path, to: Path) -> None:
        asked.append(f"rename {self.name} {to.name}")
        os.replace(self, to)  # noqa: PTH105 - what is replaced here calls it

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    make_file(tmp_path / "packed" / "a.packed", FACTS, weights())
    part = f".a.packed.{os.getpid()}.part"
    assert asked == [f"fsync {part}", f"rename {part} a.packed", "fsync packed"]


STEPS = ["posix_fallocate", "pwrite", "fsync", "replace"]


@pytest.mark.parametrize("step", STEPS)
def test_of_a_try_that_fails_nothing_is_left(step: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = made.read_bytes()
    owner: Any = Path if step == "replace" else os
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(PackedFileError, match=os.strerror(errno.ENOSPC)):
        make_file(made, {"other": 1}, weights())
    assert [path.name for path in made.parent.iterdir()] == [made.name]
    assert made.read_bytes() == before


KILLED = """
import os, sys
from pathlib import Path
from axion_kernels import packed_file
packed_file.SPARE_BYTES = 0
step, number, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
owner = Path if step == "replace" else os
real, calls = getattr(owner, step), 0
def counted(*args):
    global calls
    calls += 1
    if calls == number:
        os.kill(os.getpid(), 9)
    return real(*args)
setattr(owner, step, counted)
packed_file.make_file(path, {"by": "child"}, {"w": packed_file.Weight({}, memoryview(bytes(range(256)) * 32), 3)})
"""
# The preamble, one weight, the header; the file, its directory.
DEATHS = [("posix_fallocate", 1), *(("pwrite", n) for n in (1, 2, 3)), *(("fsync", n) for n in (1, 2)), ("replace", 1)]


@pytest.mark.parametrize(("step", "number"), DEATHS)
def test_a_maker_that_is_killed_leaves_nothing_that_counts(step: str, number: int, tmp_path: Path) -> None:
    path = tmp_path / "packed" / "model0-0.packed"
    command = [sys.executable, "-c", KILLED, step, str(number), str(path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": SOURCES}, check=False)
    assert done.returncode == -9
    has_name = (step, number) == ("fsync", 2)  # of the directory: killed after the rename
    assert path.exists() == has_name
    if has_name:
        assert problems(path) == []
    make_file(path, FACTS, weights())
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert problems(path) == []


def test_of_two_makers_one_makes_it(made: Path) -> None:
    holder = os.open(made.parent, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    part = made.parent / ".model0-1.packed.1.part"
    part.touch()
    try:
        with pytest.raises(PackedFileError, match="another engine makes one there"):
            make_file(made, FACTS, weights())
        assert part.exists()
    finally:
        os.close(holder)
    make_file(made, FACTS, weights())
    assert not part.exists()


def test_makers_that_begin_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "packed" / "model0-0.packed"
    # The step is never reached.
    command = [sys.executable, "-c", KILLED, "pwrite", "99", str(path)]
    env = {**os.environ, "PYTHONPATH": SOURCES}
    makers = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [maker.communicate(timeout=60)[1] for maker in makers]
    assert [maker.returncode for maker in makers].count(0) >= 1
    assert all("another engine makes one there" in text for text in told if text)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert problems(path) == []


def test_a_mapped_file_stays_as_it_was_when_its_name_goes_to_another(made: Path) -> None:
    file = open_file(made, FACTS)
    make_file(made, {"other": 1}, {"first": Weight({}, memoryview(bytes(3000)), 0)})
    assert file.pages[4096 : 4096 + 3000] == CONTENTS["first"]


def test_a_full_disk_is_left_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size="8m") as disk:
        path = disk.path / "packed" / "model0-0.packed"
        disk.leave("bytes", 1)
        with pytest.raises(PackedFileError, match=r"^0\.0 GB free, 0\.0 GB and 1 GB to spare needed$"):
            make_file(path, FACTS, {"w": Weight({}, memoryview(bytes(1 << 20)), 0)})
        assert list(path.parent.iterdir()) == []
        disk.make_room()
        make_file(path, FACTS, {"w": Weight({}, memoryview(bytes(1 << 20)), 0)})
        assert problems(path) == []


def test_it_leaves_room_for_what_else_engines_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_file, "SPARE_BYTES", 1 << 60)
    with pytest.raises(PackedFileError, match="to spare needed"):
        make_file(tmp_path / "model0-0.packed", FACTS, weights())


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate(["model0-a", "model0-b", "model0-c", "draft0-d"]):
        path = tmp_path / f"{name}.packed"
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    keep_newest(tmp_path, "model0", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["draft0-d.packed", "model0-a.packed", "model0-b.packed"]


@pytest.mark.parametrize("content", [None, b"", b"x" * 9000])
def test_what_is_no_file_of_ours_is_a_problem(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model0-0.packed"
    if content is not None:
        path.write_bytes(content)
    assert len(problems(path)) == 1
