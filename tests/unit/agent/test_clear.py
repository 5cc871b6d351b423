"""What is removed with all that is in it: never what is mounted there, and half of it never passes for all of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent import clear
from build.deploy.upload import remove_commands
from build.engine.commands import BuildDirectory, start_commands
from build.errors import DeployError
from build.remote.command import Command
from build.remote.executor import LocalExecutor, check
from build.remote.target import Target

DIGEST = "0123456789abcdef"


def commands(root: Path) -> dict[str, Command]:
    """Those that remove an engine environment: a stale one, and what an interrupted build left."""
    target = Target(name="main", root=str(root), runner="supervisor", python=sys.executable)
    (pruning,) = remove_commands(target, "builds", [DIGEST])
    return {"prune": pruning, "begin": start_commands(BuildDirectory.of(str(root), DIGEST), python=sys.executable)[0]}


def lay_out(root: Path) -> Path:
    """An environment, and what compilers left."""
    build = root / "builds" / DIGEST
    for name in ("venv/lib/module.py", "manifest.json", "mirror/x"):
        (build / name).parent.mkdir(parents=True, exist_ok=True)
        (build / name).write_text("x")
    (root / "tmp").mkdir()
    return build


@contextmanager
def mounted(source: Path, place: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root mounts something")
    subprocess.run(["mount", "--bind", str(source), str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", ["prune", "begin"])
def test_what_is_mounted_in_an_engine_environment_is_not_removed_with_it(tmp_path: Path, kind: str) -> None:
    root, mirror = tmp_path / "axion 1", tmp_path / "mirror"
    build = lay_out(root)
    mirror.mkdir()
    (mirror / "torch.whl").write_text("mine")
    with mounted(mirror, build / "mirror"):
        with pytest.raises(DeployError) as caught:
            check(LocalExecutor(), commands(root)[kind])
        assert (
            f"{build}/mirror: something is mounted there, in what would be removed. "
            "Unmount it, and run the same command again."
        ) in str(caught.value)
        assert (mirror / "torch.whl").read_text() == "mine"
        assert (build / "manifest.json").is_file(), "nothing else went"
    check(LocalExecutor(), commands(root)[kind])
    assert not build.exists()


@pytest.mark.parametrize("kind", ["prune", "begin"])
def test_an_engine_environment_goes_with_all_that_is_in_it_and_again_when_it_is_gone(tmp_path: Path, kind: str) -> None:
    build, elsewhere = lay_out(tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (build / "link").symlink_to(elsewhere)
    for _ in range(2):
        check(LocalExecutor(), commands(tmp_path)[kind])
        assert not build.exists()
    assert elsewhere.is_dir()


def test_what_a_removal_left_half_way_is_not_taken_for_a_sealed_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = lay_out(tmp_path)
    usual = clear.remove

    def killed(path: Path) -> None:
        if path.name == "venv":
            raise SystemExit("killed")
        usual(path)

    monkeypatch.setattr(clear, "remove", killed)
    with pytest.raises(SystemExit):
        clear.remove(build)
    assert (build / "venv").is_dir()
    assert not (build / "manifest.json").exists()
