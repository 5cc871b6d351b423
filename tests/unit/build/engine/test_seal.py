"""An environment is sealed by what its manifest says; one that lost just its seal is proven anew."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from build.engine.commands import BuildDirectory, look_command, seal_command
from build.remote.agent import carrying
from build.remote.command import Command

DIGEST = "0123456789abcdef"
SEALED, FILLED, NEITHER = (True, True), (False, True), (False, False)
MODULE = b"x = 1\n" * 1000  # 6000 bytes: one page and a bit


def run(command: Command) -> str:
    carried = carrying(command)
    done = subprocess.run(carried.argv, input=carried.stdin, capture_output=True, check=True, timeout=30)
    assert done.stderr == b""
    return done.stdout.decode()


def filled(root: Path) -> BuildDirectory:
    """An environment with one package, as pip installs it, and with the note that all of it was done."""
    build = BuildDirectory.of(str(root), DIGEST)
    site = Path(build.venv) / "lib" / "python3.11" / "site-packages"
    (site / "pack-1.0.dist-info").mkdir(parents=True)
    (site / "pack").mkdir()
    (site / "pack" / "__init__.py").write_bytes(b"")
    (site / "pack" / "module.py").write_bytes(MODULE)
    rows = ("pack/__init__.py,sha256=x,0", "pack/module.py,sha256=y,6000", '"pack/odd, name.py",sha256=z,1')
    (site / "pack" / "odd, name.py").write_text("#")
    (site / "pack-1.0.dist-info" / "RECORD").write_text("\n".join((*rows, "pack-1.0.dist-info/RECORD,,")) + "\n")
    Path(build.path, "built.json").write_text('{"recipe": "wheel"}')
    return build


def state(build: BuildDirectory) -> tuple[bool, bool]:
    said = json.loads(run(look_command(build, python=sys.executable)))
    return said["is_sealed"], said["is_filled"]


def test_the_seal_is_written_whole_and_then_found(tmp_path: Path) -> None:
    build = filled(tmp_path)
    assert state(build) == FILLED
    assert run(seal_command(build, json.dumps({"digest": DIGEST, "x": "\u00fc"}), python=sys.executable)) == ""
    assert Path(build.manifest).read_bytes() == b'{"digest": "0123456789abcdef", "x": "\\u00fc"}'
    assert state(build) == SEALED
    assert sorted(path.name for path in Path(build.path).iterdir()) == ["built.json", "manifest.json", "venv"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\0" * 300, b'{"digest": "another"}', b'{"digest": "0123456789abcdef"', b"[1]", b"\xff"]
)
def test_an_empty_or_broken_manifest_is_no_seal(tmp_path: Path, content: bytes) -> None:
    build = filled(tmp_path)
    Path(build.manifest).write_bytes(content)
    assert state(build) == FILLED


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("module.py", b"", NEITHER),  # none of it had been written
        ("module.py", MODULE[:4096], NEITHER),  # its first page had
        ("module.py", None, NEITHER),
        ("odd, name.py", b"", NEITHER),
        ("module.py", b"# emptied on purpose\n", FILLED),
        ("module.py", MODULE + b"# longer\n", FILLED),
        ("__init__.py", b"", FILLED),
    ],
)
def test_an_environment_that_lost_a_file_counts_for_nothing(
    tmp_path: Path, name: str, content: bytes | None, expected: tuple[bool, bool]
) -> None:
    build = filled(tmp_path)
    file = Path(build.venv) / "lib" / "python3.11" / "site-packages" / "pack" / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert state(build) == expected


def test_one_whose_steps_never_ended_counts_for_nothing(tmp_path: Path) -> None:
    build = filled(tmp_path)
    Path(build.path, "built.json").unlink()
    assert state(build) == NEITHER
    assert state(BuildDirectory.of(str(tmp_path / "nowhere"), DIGEST)) == NEITHER
