"""`fab uninstall` on this computer: what is ours goes, what was there stays, and no interruption is one too many."""

import errno
import fcntl
import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.onhost import bundle, uninstall_system
from build.onhost import uninstall as program
from build.onhost.lock import take
from build.uninstall import PARTS
from tests.local_deployment import LocalDeployment, local_deployment


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    with local_deployment(tmp_path_factory.mktemp("u")) as deployed:
        yield deployed


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_a_host_is_as_it_was_and_can_be_deployed_to_again(host: LocalDeployment) -> None:
    mine = {"work/thesis.txt": "mine", "models/own/config.json": "{}", "notes": "mine"}
    for name, text in mine.items():
        (host.root / name).parent.mkdir(parents=True, exist_ok=True)
        (host.root / name).write_text(text)
    before = [each for each in everything(host.root) if not each.startswith("builds/")]
    builds = [path.name for path in (host.root / "builds").iterdir()]
    kept = host.root.with_name("kept")
    (host.root / "builds").rename(kept)
    (host.root / "builds").mkdir()
    for name in builds:  # a link, as to the environment of another checkout: it goes, what it names does not
        (host.root / "builds" / name).symlink_to(kept / name)
    host.deploy()
    assert host.answers()

    refused = host.fab("uninstall")
    assert refused.status == 1
    assert "uninstall: nothing was removed, got no answer. Say yes, or add --yes." in refused.stderr
    assert f"{host.root}/builds: " in refused.said
    assert f"{host.root}/work/thesis.txt: not ours" in refused.said
    assert f"{host.checkpoints()}/alpha: a checkpoint that the models file names by its path" in refused.said
    assert host.answers()

    host.succeed("uninstall", "--yes")
    assert everything(host.root) == before
    assert host.processes() == []
    assert (host.checkpoints() / "alpha").is_dir()
    assert (kept / builds[0] / "manifest.json").is_file()
    assert "this computer: nothing of ours is there." in host.succeed("uninstall", "--yes").said
    assert everything(host.root) == before

    for name in builds:
        (host.root / "builds" / name).symlink_to(kept / name)
    host.deploy()
    assert host.answers()


def test_what_lost_its_runner_and_its_release_is_ended_all_the_same(host: LocalDeployment) -> None:
    host.deploy()
    (host.root / "current").unlink()
    host.succeed("uninstall", "--yes")
    assert host.processes() == []


def order(root: Path, step: str, *, keep_models: bool = False) -> str:
    wanted = {"do": step, "root": str(root), "user": "axion", "is_systemd": False, "keep_models": keep_models}
    return json.dumps(wanted)


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
        ".before-axion.json": json.dumps({"made": [str(root), str(root.parent)], "there": []}),
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
    removals, usual = 0, program.remove
    for stop_after in range(100):
        root = tmp_path / str(stop_after) / "srv" / "axion"
        lay_out(root)
        removed: list[Path] = []

        def remove(path: Path, removed: list[Path] = removed, stop_after: int = stop_after) -> None:
            if len(removed) == stop_after:
                for half in [each for each in path.rglob("*") if each.is_file()][:1]:
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
    (root / ".before-axion.json").write_text(json.dumps({"made": [], "there": there}))
    mine = ["builds/firefox/x", "logs/nginx.log", "models/alpha/mine/x", "run/other.pid", "state/x", "work/x", "x"]
    for name in mine:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")
    for step in ("remove", "leave"):
        program.main(order(root, step))
    assert [each for each in everything(root) if (root / each).is_file()] == mine
    assert sorted(path.name for path in root.iterdir()) == [*there, "x"]


def test_nobody_holds_a_lock_that_is_no_longer_there(tmp_path: Path) -> None:
    """Who waited for the lock while an uninstallation removed it takes the one that comes after."""
    root = tmp_path / "axion"
    path = root / "state" / "deploy.lock"
    held = take(path)
    assert held is not None
    waiter = (
        "import sys; from pathlib import Path; from build.onhost.lock import take; print('waits', flush=True); "
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


def ended(root: Path, step: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence with which a step refuses."""
    with pytest.raises(SystemExit) as end:
        program.main(order(root, step))
    assert capsys.readouterr().out == ""
    return str(end.value)


def test_a_host_that_somebody_deploys_to_meanwhile_keeps_what_they_make(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)
    program.main(order(root, "remove"))
    capsys.readouterr()
    with (root / "state" / "deploy.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = ended(root, "leave", capsys)
    assert said == (
        f"{root}: somebody deploys there again, got a lock that is held. What is left is theirs; "
        "run `fab uninstall` again when they are done."
    )
    assert (root / "state" / "deploy.lock").is_file()
    assert (root / ".before-axion.json").is_file()


def test_what_cannot_be_removed_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(program, "remove", refuse)
    assert ended(root, "remove", capsys) == (
        f"{root}: cannot be removed, got [Errno 30] Read-only file system: '{root}/current'. "
        "Correct that, and run `fab uninstall` again."
    )


def test_a_process_that_does_not_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One in state D: no signal reaches it."""
    monkeypatch.setattr(uninstall_system, "supervised", lambda root: [999999999])
    monkeypatch.setattr(uninstall_system, "END_S", 0.3)
    said = ended(tmp_path, "remove", capsys)
    assert said == f"{tmp_path}: its processes do not end, got [999999999] after 0.3 s. Look at them with `ps`."


def test_an_account_that_is_in_use_or_a_persons_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "userdel").write_text(
        "#!/bin/sh\necho 'userdel: user axion is currently used by process 7.' >&2\nexit 8\n"
    )
    (tmp_path / "userdel").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def account(home: str, uid: int) -> pwd.struct_passwd:
        return pwd.struct_passwd(("axion", "x", uid, uid, "", home, "/usr/sbin/nologin"))

    monkeypatch.setattr(pwd, "getpwnam", lambda name: account("/nonexistent", 998))
    with pytest.raises(SystemExit) as end:
        uninstall_system.remove_account("axion")
    assert str(end.value) == (
        "userdel axion: failed, got userdel: user axion is currently used by process 7. "
        "End its processes, and run `fab uninstall` again."
    )
    for home, uid in (("/home/axion", 998), ("/nonexistent", 1000)):
        monkeypatch.setattr(pwd, "getpwnam", lambda name, home=home, uid=uid: account(home, uid))
        uninstall_system.remove_account("axion")
        assert "the account axion: not one that a deployment made" in list(uninstall_system.system_stays("axion"))


def test_the_program_is_one_that_any_host_can_run(tmp_path: Path) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)
    for step in ("look", "remove", "leave"):
        argv = ("env", "-i", sys.executable, "-I", "-S", "-", order(root, step))
        done = subprocess.run(argv, input=bundle("uninstall.py", *PARTS), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == []
