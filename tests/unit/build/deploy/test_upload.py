"""How a release gets to a host: whole or not at all, byte for byte the same, and old ones forgotten."""

import os
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import ReleaseFiles
from build.deploy.upload import (
    confirm_command,
    packed,
    remove_commands,
    stale_builds,
    stale_releases,
    switch_command,
    upload_command,
)
from build.remote.agent import archive_name, carrying
from build.remote.command import Command
from build.remote.target import Target
from deployment.render.release import RenderedFile

OPT = Target(name="a host", root="/opt/axion", runner="systemd", python="python3")
NEW = "20260131T120000-aaaaaaaa"
FILES = (
    RenderedFile(path="engines/alpha.yaml", text="model: x\n"),
    RenderedFile(path="gateway.json", text="{}\n"),
    RenderedFile(path="lib/gateway/app.py", text="# \u00fc\r\n"),
)


def do(*commands: Command) -> None:
    for command in commands:
        carried = carrying(command)
        done = subprocess.run(carried.argv, input=carried.stdin, capture_output=True, check=False, timeout=30)
        assert (done.returncode, done.stderr, done.stdout) == (0, b"", b""), done.stderr.decode()


def here(root: Path) -> Target:
    return Target(name="here", root=str(root), runner="supervisor", python="python3")


def modes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): f"{path.stat().st_mode & 0o777:o}"
        for path in sorted(root.rglob("*"))
        if not path.is_symlink()
    }


def test_a_release_arrives_whole_under_its_name_with_its_environment(tmp_path: Path) -> None:
    root = tmp_path / "root with space"
    do(upload_command(here(root), NEW, FILES, "b1"), switch_command(here(root), NEW))
    assert [path.name for path in (root / "releases").iterdir()] == [NEW]
    assert (root / "current" / "lib" / "gateway" / "app.py").read_bytes() == b"# \xc3\xbc\r\n"
    assert (root / "current" / "build").readlink() == Path("../../builds/b1")
    assert (root / "current").readlink() == Path(f"releases/{NEW}")
    assert sorted(path.name for path in root.iterdir()) == ["agent", "current", "logs", "releases", "run", "state"]

    newer = "20260201T120000-bbbbbbbb"
    do(upload_command(here(root), newer, FILES, "b2"), switch_command(here(root), newer))
    assert (root / "current").readlink() == Path(f"releases/{newer}")
    do(*remove_commands(here(root), "releases", [NEW]))
    assert [path.name for path in (root / "releases").iterdir()] == [newer]


@pytest.mark.parametrize(("runner", "folder", "file"), [("supervisor", "700", "600"), ("systemd", "755", "644")])
def test_engines_of_another_account_can_read_it_whatever_the_umask(
    tmp_path: Path, runner: Literal["supervisor", "systemd"], folder: str, file: str
) -> None:
    before = os.umask(0o077)
    try:
        do(upload_command(Target(name="x", root=str(tmp_path / "r"), runner=runner, python="python3"), NEW, FILES, "b"))
    finally:
        os.umask(before)
    release = f"releases/{NEW}"
    assert modes(tmp_path / "r") == {
        **dict.fromkeys(("logs", "run", "state", "releases", release, f"{release}/engines"), folder),
        **dict.fromkeys((f"{release}/lib", f"{release}/lib/gateway"), folder),
        **{f"{release}/{each.path}": file for each in FILES},
        "agent": "700",
        f"agent/{archive_name()}": "600",
    }


@given(st.permutations(FILES))
def test_the_same_files_travel_as_the_same_bytes(files: list[RenderedFile]) -> None:
    assert packed(files) == packed(FILES)
    assert ReleaseFiles.from_json(packed(files)).files == {
        "engines/alpha.yaml": "model: x\n", "gateway.json": "{}\n", "lib/gateway/app.py": "# \u00fc\r\n",
    }  # fmt: skip


def test_an_upload_that_another_deployment_left_half_done_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / "root" / "releases" / f".{DAYS[0]}.new" / "engines"
    left.mkdir(parents=True)
    do(upload_command(here(tmp_path / "root"), NEW, FILES, "b1"))
    assert [path.name for path in (tmp_path / "root" / "releases").iterdir()] == [NEW]


def test_that_a_release_answered_is_remembered_before_it_is_the_confirmed_one(tmp_path: Path) -> None:
    do(upload_command(here(tmp_path), NEW, FILES, "b1"), confirm_command(here(tmp_path), NEW))
    assert [path.name for path in (tmp_path / "answered").iterdir()] == [NEW]
    assert (tmp_path / "confirmed").readlink() == Path(f"releases/{NEW}")


def test_what_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = upload_command(here(tmp_path / "file"), NEW, FILES, "b1")
    carried = carrying(command)
    done = subprocess.run(carried.argv, input=carried.stdin, capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stderr.decode()) == (
        1, f"{tmp_path}/file: cannot receive {NEW}: [Errno 17] File exists: '{tmp_path}/file'\n",
    )  # fmt: skip


DAYS = [f"2026010{day}T000000-x" for day in range(1, 9)]


@pytest.mark.parametrize(
    ("releases", "keep", "stale"),
    [
        ([], (), []),
        (DAYS[:5], (), []),
        (DAYS[:6], (), DAYS[:1]),
        (DAYS, (), DAYS[:3]),
        (list(reversed(DAYS)), (), [DAYS[7], DAYS[6], DAYS[5]]),
        (DAYS, (DAYS[0], DAYS[7]), DAYS[1:3]),
        (DAYS, (DAYS[1], None), [DAYS[0], DAYS[2]]),
    ],
)
def test_the_five_newest_releases_and_those_in_use_stay(
    releases: list[str], keep: tuple[str | None, ...], stale: list[str]
) -> None:
    assert stale_releases(releases, keep) == stale


@pytest.mark.parametrize(
    ("builds", "used", "stale"),
    [
        ([], [], []),
        (["b1"], ["b1"], []),
        (["b2", "b1", "b3"], ["b2"], ["b1", "b3"]),
        (["b1"], ["b1", "None", "gone"], []),
    ],
)
def test_environments_that_no_release_links_to_are_stale(builds: list[str], used: list[str], stale: list[str]) -> None:
    assert stale_builds(builds, used) == stale


def test_names_of_what_is_removed_are_never_taken_for_options() -> None:
    assert [str(each) for each in remove_commands(OPT, "builds", ["b1", "b2"])] == [
        'agent clear \'{"schema": "axion.clear-order/1", "paths": ["/opt/axion/builds/b1", "/opt/axion/builds/b2"]}\''
    ]
    assert remove_commands(OPT, "builds", []) == []
