"""How a release gets to a host: whole or not at all, byte for byte the same, and old ones forgotten."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.command import Command
from build.target import Target
from build.upload import (
    archive,
    confirm_commands,
    remove_commands,
    stale_builds,
    stale_releases,
    switch_commands,
    upload_commands,
)
from deployment.release import RenderedFile

OPT = Target(name="a host", root="/opt/axion", runner="systemd", python="python3")
NEW = "20260131T120000-aaaaaaaa"
FILES = (
    RenderedFile(path="engines/alpha.yaml", text="model: x\n"),
    RenderedFile(path="gateway.json", text="{}\n"),
    RenderedFile(path="lib/gateway/app.py", text="# \u00fc\n"),
)


def lines(commands: list[Command]) -> list[str]:
    return [str(command) for command in commands]


def test_a_release_is_unpacked_under_a_draft_name_and_renamed_when_whole() -> None:
    draft = f"/opt/axion/releases/.{NEW}.new"
    commands = upload_commands(OPT, NEW, FILES, "b1")
    assert lines(commands) == [
        "mkdir -p -m 0755 -- /opt/axion /opt/axion/releases /opt/axion/run /opt/axion/state /opt/axion/logs",
        "find /opt/axion/releases -mindepth 1 -maxdepth 1 -name '.*.new' -exec rm -rf -- '{}' +",
        f"mkdir -m 0755 -- {draft}",
        f"tar -x -C {draft}",
        f"chmod -R a+rX -- {draft}",
        f"ln -s ../../builds/b1 {draft}/build",
        f"mv -T -- {draft} /opt/axion/releases/{NEW}",
    ]
    assert [command.stdin is not None for command in commands] == [False, False, False, True, False, False, False]


def test_current_and_confirmed_switch_in_one_rename() -> None:
    assert lines(switch_commands(OPT, NEW)) == [
        f"ln -sfn releases/{NEW} /opt/axion/.current.new",
        "mv -T -- /opt/axion/.current.new /opt/axion/current",
    ]
    assert lines(switch_commands(OPT, NEW, link="confirmed")) == [
        f"ln -sfn releases/{NEW} /opt/axion/.confirmed.new",
        "mv -T -- /opt/axion/.confirmed.new /opt/axion/confirmed",
    ]


@given(st.permutations(FILES))
def test_the_archive_of_the_same_files_is_the_same_bytes(files: list[RenderedFile]) -> None:
    packed = archive(files)
    assert packed == archive(FILES)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == ["engines/alpha.yaml", "gateway.json", "lib/gateway/app.py"]
        assert {(member.mode, member.mtime, member.uid, member.uname) for member in members} == {(0o644, 0, 0, "")}
        content = tar.extractfile("lib/gateway/app.py")
        assert content is not None
        assert content.read().decode() == "# \u00fc\n"


def test_the_commands_do_it_on_a_real_file_system_and_again_after_an_interruption(tmp_path: Path) -> None:
    target = Target(name="here", root=str(tmp_path / "root with space"), runner="supervisor", python="python3")
    interrupted = upload_commands(target, NEW, FILES, "b1")[:4]
    for command in (*interrupted, *upload_commands(target, NEW, FILES, "b1"), *switch_commands(target, NEW)):
        subprocess.run(command.argv, input=command.stdin, check=True, timeout=30)
    root = Path(target.root)
    assert [path.name for path in (root / "releases").iterdir()] == [NEW]
    assert (root / "current" / "lib" / "gateway" / "app.py").read_text() == "# \u00fc\n"
    assert (root / "current" / "build").readlink() == Path("../../builds/b1")
    assert (root / "run").stat().st_mode & 0o777 == 0o700

    newer = "20260201T120000-bbbbbbbb"
    for command in (*upload_commands(target, newer, FILES, "b2"), *switch_commands(target, newer)):
        subprocess.run(command.argv, input=command.stdin, check=True, timeout=30)
    assert (root / "current").readlink() == Path(f"releases/{newer}")
    assert sorted(path.name for path in root.iterdir()) == ["current", "logs", "releases", "run", "state"]
    (removal,) = remove_commands(target, "releases", [NEW])
    subprocess.run(removal.argv, check=True, timeout=30)
    assert [path.name for path in (root / "releases").iterdir()] == [newer]


def test_an_upload_that_another_deployment_left_half_done_is_cleared(tmp_path: Path) -> None:
    target = Target(name="here", root=str(tmp_path / "root"), runner="supervisor", python="python3")
    for command in (*upload_commands(target, DAYS[0], FILES, "b1")[:4], *upload_commands(target, NEW, FILES, "b1")):
        subprocess.run(command.argv, input=command.stdin, check=True, timeout=30)
    assert [path.name for path in (tmp_path / "root" / "releases").iterdir()] == [NEW]


def test_that_a_release_answered_is_remembered_before_it_is_the_confirmed_one() -> None:
    assert lines(confirm_commands(OPT, NEW)) == [
        f"install -D -m 0600 /dev/null /opt/axion/answered/{NEW}",
        f"ln -sfn releases/{NEW} /opt/axion/.confirmed.new",
        "mv -T -- /opt/axion/.confirmed.new /opt/axion/confirmed",
    ]


DAYS = [f"2026010{day}T000000-x" for day in range(1, 9)]


@pytest.mark.parametrize(
    ("releases", "keep", "stale"),
    [
        ([], (), []),
        (DAYS[:5], (), []),
        (DAYS[:6], (), DAYS[:1]),
        (DAYS, (), DAYS[:3]),
        (list(reversed(DAYS)), (), DAYS[:3]),
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
    assert lines(remove_commands(OPT, "builds", ["b1", "b2"])) == [
        "rm -rf -- /opt/axion/builds/b1 /opt/axion/builds/b2"
    ]
    assert remove_commands(OPT, "builds", []) == []
