"""What of a host is ours, and how it goes: what was there stays, and no interruption is one too many."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent import clear
from agent import uninstall as program
from agent.lock import BEFORE, take
from agent.protocol import LockAnswer, LockOrder, UninstallOrder
from build.remote.agent import Agent
from build.remote.executor import LocalExecutor, check
from tests.support.agent import agent_file, run_agent
from tests.support.small_disk import KINDS, Kind, small_disk


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def order(root: Path, step: Any, *, keep_models: bool = False) -> str:
    return UninstallOrder(step, str(root), "axion", is_systemd=False, keep_models=keep_models).to_json()


def lay_out(root: Path) -> None:
    """What deployments, downloads and what interrupted them leave, on a root that was not there."""
    release, build, commit = "20260131T120000-0123abcd", "0123456789abcdef", "a" * 40
    files = {
        f"releases/{release}/release.json": json.dumps({"units": {"alpha": "1", "gateway": "2"}}),
        f"releases/{release}/engines/alpha.yaml": f"model: {root}/models/alpha/{commit}\n",
        "releases/.20260131T130000-0123abcd.new/release.json": "{}",
        f"builds/{build}/manifest.json": "{}",
        f"builds/{build}/venv/bin/python": "",
        f"answered/{release}": "",
        "state/deploy.lock": "",
        "state/alpha/cache": "x",
        "logs/audit.jsonl": "{}\n",
        "logs/alpha.log": "x",
        "logs/alpha.log.1": "x",
        "logs/supervisord.log": "x",
        "run/alpha.lock": "",
        "run/supervisord.pid": "999999999",
        "work/packages/steps.json": "{}",
        f"models/alpha/{commit}/.axion-manifest.json": json.dumps({"files": {}}),
        f"models/alpha/{commit}/config.json": "{}",
        "models/.content/abc.part": "half",
        "models/.beta.0123.stale/config.json": "{}",
        ".before-axion.json": json.dumps({"made": [str(root), str(root.parent)], "there": {}}),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "current").symlink_to(f"releases/{release}")
    (root / "confirmed").symlink_to(f"releases/{release}")


def test_after_any_interruption_the_same_command_removes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before its first, second, ... removal, and with half of a directory gone."""
    removals, usual = 0, clear.remove
    for stop_after in range(100):
        root = tmp_path / str(stop_after) / "srv" / "axion"
        lay_out(root)
        removed: list[Path] = []

        def remove(path: Path, removed: list[Path] = removed, stop_after: int = stop_after) -> None:
            if len(removed) == stop_after:
                for half in [each for each in path.rglob("[!.]*") if each.is_file()][:1]:
                    half.unlink()
                raise SystemExit("killed")
            removed.append(path)
            usual(path)

        monkeypatch.setattr(program, "remove", remove)
        try:
            program.main(order(root, "remove"))
        except SystemExit:
            removals += 1
        else:
            break
        finally:
            monkeypatch.setattr(program, "remove", usual)
        for step in ("remove", "leave"):
            program.main(order(root, step))
        assert list((tmp_path / str(stop_after)).iterdir()) == [], stop_after
    assert removals >= 14


def test_checkpoints_stay_where_they_are_wanted_and_go_with_the_next_one(tmp_path: Path) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)
    for step in ("remove", "leave"):
        program.main(order(root, step, keep_models=True))
    assert everything(root) == [
        ".before-axion.json",
        "models",
        "models/.beta.0123.stale",
        "models/.beta.0123.stale/config.json",
        "models/.content",
        "models/.content/abc.part",
        "models/alpha",
        f"models/alpha/{'a' * 40}",
        f"models/alpha/{'a' * 40}/.axion-manifest.json",
        f"models/alpha/{'a' * 40}/config.json",
    ]
    for step in ("remove", "leave"):
        program.main(order(root, step))
    assert list(tmp_path.iterdir()) == []


def test_in_folders_that_were_there_only_what_is_known_by_its_name_goes(tmp_path: Path) -> None:
    root = tmp_path / "data"
    lay_out(root)
    there = ["builds", "logs", "models", "run", "state", "work"]
    (root / ".before-axion.json").write_text(json.dumps({"made": [], "there": {name: [] for name in there}}))
    mine = ["builds/firefox/x", "logs/nginx.log", "models/alpha/mine/x", "run/other.pid", "state/x", "work/x", "x"]
    for name in mine:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")
    for step in ("remove", "leave"):
        program.main(order(root, step))
    assert [each for each in everything(root) if (root / each).is_file()] == mine
    assert sorted(path.name for path in root.iterdir()) == [*there, "x"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            '{"schema": "axion.before/2", "made": [], "there": {}}',
            "axion.before/1 is understood here, got 'axion.before/2'",
        ),
        ('{"made": [], "there": {}, "mounts": []}', "axion.before/1: mounts is unknown"),
        (
            '{"made": [], "there": {"bui',
            "axion.before/1: no JSON: Unterminated string starting at: line 1 column 24 (char 23)",
        ),
        ('{"made": [], "there": []}', "axion.before/1: there is no mapping, got []"),
        ("", "axion.before/1: no JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
    ids=["newer", "another field", "half", "another type", "empty"],
)
def test_where_what_was_there_before_cannot_be_told_nothing_goes(tmp_path: Path, text: str, why: str) -> None:
    """To take it for no record would remove what others had in folders of our names."""
    root = tmp_path / "data"
    lay_out(root)
    (root / ".before-axion.json").write_text(text)
    before = everything(root)
    for step in ("look", "remove", "leave"):
        with pytest.raises(SystemExit) as caught:
            program.main(order(root, step))
        assert str(caught.value) == (
            f"{root}/.before-axion.json: says what was there before us, and cannot be read: {why}. Nothing was "
            "removed. Uninstall with a checkout as new as the one that deployed; or look yourself whether anything "
            f"below {root} is somebody else's, and move that file away."
        )
    assert everything(root) == before


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize(
    "link", ["answered", "builds", "logs", "models", "releases", "run", "state", "work", "models/alpha", ".content"]
)
def test_what_a_link_leads_to_is_never_touched(tmp_path: Path, link: str, is_recorded: bool) -> None:
    """A folder that is a link was made by a person: what it leads to may be another checkout's, and serve there."""
    root, elsewhere = tmp_path / "srv" / "axion", tmp_path / "elsewhere"
    lay_out(root)
    if not is_recorded:
        (root / ".before-axion.json").unlink()
    place = root / ("models/.content" if link == ".content" else link)
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    if link == "state":  # the lock is held through the link, by whoever uninstalls
        (elsewhere / "deploy.lock").unlink()
    before = everything(elsewhere)
    assert before
    for step in ("look", "remove", "leave", "look", "remove", "leave"):
        program.main(order(root, step))
    assert everything(elsewhere) == before


def test_what_was_in_our_folders_stays_though_it_is_called_as_ours_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a build that somebody copied there, or that another checkout has mounted."""
    root = tmp_path / "axion"
    lay_out(root)
    there = {"builds": ["0123456789abcdef"], "models": ["alpha"], "logs": ["alpha.log"]}
    (root / ".before-axion.json").write_text(json.dumps({"made": [], "there": there}))
    for step in ("remove", "leave", "remove", "leave"):  # the second time there is no record, and no lock, any more
        program.main(order(root, step))
    assert goes(root, capsys) == []
    assert [each for each in everything(root) if not (root / each).is_dir()] == [
        "builds/0123456789abcdef/manifest.json",
        "builds/0123456789abcdef/venv/bin/python",
        "logs/alpha.log",
        f"models/alpha/{'a' * 40}/.axion-manifest.json",
        f"models/alpha/{'a' * 40}/config.json",
    ]


def test_the_first_holder_of_the_lock_writes_down_what_was_there(tmp_path: Path) -> None:
    for name in ("builds/x/y", "models/mine/z", "notes/a"):
        (tmp_path / "there" / name).mkdir(parents=True)
    for name, record in {
        "there": {"made": [], "there": {"builds": ["x"], "models": ["mine"]}},
        "new/root": {"made": [f"{tmp_path}/new/root", f"{tmp_path}/new"], "there": {}},
    }.items():
        root = tmp_path / name
        for _ in range(2):  # the second holder finds what is ours, and writes nothing
            hold = LockOrder("hold", str(root), "me", "fab")
            run_agent(agent_file(tmp_path), "lock", hold.to_json(), stdin=subprocess.DEVNULL, check=True)
            assert json.loads((root / ".before-axion.json").read_text()) == {"schema": "axion.before/1", **record}


def hold(root: Path) -> str:
    wanted = LockOrder("hold", str(root), "me", "fab")
    lock = Agent(sys.executable, str(root)).command("lock", wanted.to_json(), what="lock")
    return check(LocalExecutor(), lock).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_keeps_nobody_from_writing_down_what_was_there_later(tmp_path: Path, kind: Kind) -> None:
    """Half a record, or none beside a lock, would leave most of what is ours there for good."""
    with small_disk(tmp_path / "disk") as disk:
        root = disk.path / "srv" / "axion"
        disk.fill(kind)
        assert "No space left on device" in hold(root)
        disk.make_room()
        assert LockAnswer("taken").to_json() in hold(root)
        record = {"made": [str(root), str(root.parent)], "there": {}}
        assert json.loads((root / ".before-axion.json").read_text()) == {"schema": "axion.before/1", **record}
        for step in ("remove", "leave"):
            program.main(order(root, step))
        assert everything(disk.path) == []


def test_on_a_host_older_than_the_record_folders_stay_and_are_empty(tmp_path: Path) -> None:
    root = tmp_path / "axion"
    lay_out(root)
    (root / ".before-axion.json").unlink()
    for name in ("way.back", ".models-file"):
        (root / "state" / name).write_text("")
    for step in ("remove", "leave"):
        program.main(order(root, step))
    assert everything(root) == ["answered", "builds", "logs", "models", "releases", "run", "state", "work"]


def test_nobody_holds_a_lock_that_is_no_longer_there(tmp_path: Path) -> None:
    """Who waited for the lock while an uninstallation removed it takes the one that comes after."""
    root = tmp_path / "axion"
    path = root / "state" / "deploy.lock"
    held = take(path)
    assert held is not None
    waiter = (
        "import sys; from pathlib import Path; from agent.lock import take; print('waits', flush=True); "
        f"file = take(Path({str(path)!r}), 20); import os; "
        f"print(os.fstat(file.fileno()).st_ino == os.stat({str(path)!r}).st_ino)"
    )
    process = subprocess.Popen([sys.executable, "-c", waiter], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    time.sleep(0.5)
    path.unlink()
    held.close()
    said, _ = process.communicate(timeout=30)
    assert said == "True\n"


def test_who_waited_for_a_lock_that_went_writes_down_what_is_there_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all that is made from then on would stay at the next uninstallation, as on a host older than the record."""
    root = tmp_path / "srv" / "axion"
    lay_out(root)
    program.main(order(root, "remove"))
    usual, waited = os.open, list[str]()

    def open_late(path: Any, flags: int, *more: Any) -> int:
        """Between the look at the record and the making of the lock the uninstallation does its last step."""
        if str(path).endswith("deploy.lock") and not waited:
            waited.append(str(path))
            program.main(order(root, "leave"))
            (root / "state").mkdir(parents=True)
        return usual(path, flags, *more)

    monkeypatch.setattr(os, "open", open_late)
    held = take(root / "state" / "deploy.lock", root=root)
    assert (held is not None, (root / BEFORE).is_file(), len(waited)) == (True, True, 1)


def goes(root: Path, capsys: pytest.CaptureFixture[str], *, keep_models: bool = False) -> list[str]:
    capsys.readouterr()
    program.main(order(root, "look", keep_models=keep_models))
    told: list[str] = json.loads(capsys.readouterr().out)["goes"]
    return told


@pytest.mark.parametrize("keep_models", [False, True])
def test_what_is_left_when_only_the_last_step_is_missing_still_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keep_models: bool
) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)
    program.main(order(root, "remove", keep_models=keep_models))
    assert f"{root}/state/deploy.lock: to tell what is ours" in goes(root, capsys, keep_models=keep_models)
    program.main(order(root, "leave", keep_models=keep_models))
    assert goes(root, capsys, keep_models=keep_models) == []
    assert bool(goes(root, capsys)) is keep_models


def test_the_program_is_one_that_any_host_can_run(tmp_path: Path) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)
    file = agent_file(tmp_path)
    for step in ("look", "remove", "leave"):
        done = run_agent(file, "uninstall", order(root, step), env={})
        assert (done.returncode, done.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("place", ["state/alpha", "builds/0123456789abcdef/venv", "models/.content"])
def test_what_is_mounted_in_something_of_ours_is_not_removed_with_it(tmp_path: Path, place: str) -> None:
    """A mount is a link that nobody sees: all behind it would have gone."""
    root, elsewhere = tmp_path / "axion 1", tmp_path / "elsewhere"
    lay_out(root)
    elsewhere.mkdir()
    (elsewhere / "thesis").write_text("mine")
    if os.geteuid() != 0:
        pytest.skip("only root mounts something")
    subprocess.run(["mount", "--bind", str(elsewhere), str(root / place)], check=True)
    try:
        for step in ("look", "remove"):
            with pytest.raises(SystemExit) as caught:
                program.main(order(root, step))
            assert str(caught.value) == (
                f"{root / place}: something is mounted there, in what would be removed. "
                "Unmount it, and run `fab uninstall` again."
            )
        assert (elsewhere / "thesis").read_text() == "mine"
        assert (root / "releases" / "20260131T120000-0123abcd" / "release.json").is_file(), "nothing else went"
    finally:
        subprocess.run(["umount", str(root / place)], check=True)
    for step in ("remove", "leave"):
        program.main(order(root, step))
    assert not root.exists()
    assert (elsewhere / "thesis").read_text() == "mine"
