"""A download onto a disk that becomes full after any of its files: a sentence, and the next one goes on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import Edits, agent_file, run_agent
from tests.support.pulls import COMMIT, FILES, WANTED, contents
from tests.support.small_disk import KINDS, Kind, small_disk

# On a disk of some megabytes: what is asked for first is tested elsewhere.
ASKED = {"pull.py": ("MARGIN_BYTES = 1 << 30", "MARGIN_BYTES = 1 << 20")}
UNASKED = {"pull.py": ("            check_disk(root, models)\n", "")}


def run(edits: Edits, root: Path, store: Path) -> Any:
    """Download as a host does; returns what was told at the end."""
    order = {
        "schema": "axion.pull-order/1",
        "root": str(root),
        "source": {"kind": "directory", "place": str(store)},
        "models": {"alpha": {"hub": "org/tiny", "revision": COMMIT, "files": {}}},
        "is_thorough": True,
    }
    done = run_agent(agent_file(store, edits), "pull", json.dumps(order))
    told = json.loads(done.stdout.splitlines()[-1])
    assert done.stderr == b""
    assert done.returncode == (1 if told["problems"] else 0)
    return told


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "store" / "org" / "tiny" / COMMIT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "store"


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fills_up_after_any_file_is_a_sentence_and_the_next_download_goes_on(
    tmp_path: Path, store: Path, kind: Kind
) -> None:
    failures, whole = 0, 0
    for left in range(0, 24, 2):
        with small_disk(tmp_path / "data", size="8m", inodes=100) as disk:
            disk.leave(kind, left)
            problems = run(UNASKED, disk.path, store)["problems"]
            if problems:
                failures += 1
                (said,) = problems
                lacking = {"bytes": " of 8.4 MB free)", "inodes": " of 100 inodes (one for each file) free)"}[kind]
                assert said.startswith(f"{disk.path}/models: cannot be written: [Errno 28] No space left on device")
                assert lacking in said
                assert said.endswith(". Free some disk, then run the same command again: it goes on where it stopped.")
                assert not (disk.path / "models" / "alpha" / COMMIT).exists()
            whole += not problems
            disk.make_room()
            assert run(UNASKED, disk.path, store)["problems"] == []
            assert contents(disk.path / "models" / "alpha" / COMMIT) == {path: FILES[path] for path in WANTED}
    assert failures >= 3
    assert whole >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_room_is_asked_for_before_the_first_file(tmp_path: Path, store: Path, kind: Kind) -> None:
    with small_disk(tmp_path / "data", size="8m", inodes=100) as disk:
        disk.leave(kind, 10)
        (said,) = run(ASKED, disk.path, store)["problems"]
        got = {
            "bytes": "/models: too little free disk, got 0.0 GB where 0.0 GB and 0 GB to spare are needed (alpha 0.0).",
            "inodes": "/models: too few free inodes, got 8 of 100 inodes (one for each file) free where 24 are needed.",
        }
        assert said.startswith(f"{disk.path}{got[kind]}")
        assert list((disk.path / "models" / ".content").iterdir()) == []
