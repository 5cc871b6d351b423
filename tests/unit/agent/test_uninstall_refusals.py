"""Why an uninstallation stops: a sentence for each cause, and nothing half-said."""

import errno
import fcntl
import gzip
import json
import os
import pwd
from pathlib import Path

import pytest

from agent import clear, uninstall_system
from agent import uninstall as program
from tests.unit.agent.test_uninstall import lay_out, order


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


def test_a_release_whose_files_cannot_be_read_names_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)
    (release,) = (path for path in (root / "releases").iterdir() if not path.name.startswith("."))
    engines = release / "engines"
    (engines / "a.yaml").mkdir(parents=True)
    (engines / "b.yaml").symlink_to("b.yaml")
    (engines / "c.yaml").write_text(f"model: /{'a' * 300}\n")
    for step in ("look", "remove", "leave"):
        program.main(order(root, step))
    assert not root.exists()


def test_what_cannot_be_removed_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(program, "remove", refuse)
    assert ended(root, "remove", capsys) == (
        f"{root}: cannot be removed: [Errno 30] Read-only file system: '{root}/current'. "
        "Correct that, and run `fab uninstall` again."
    )


def test_a_process_that_does_not_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One in state D: no signal reaches it."""
    monkeypatch.setattr(uninstall_system, "supervised", lambda root: [999999999])
    monkeypatch.setattr(uninstall_system, "END_S", 0.3)
    said = ended(tmp_path, "remove", capsys)
    assert said == f"{tmp_path}: its processes do not end: [999999999] after 0.3 s. Look at them with `ps`."


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
        "userdel axion: failed: userdel: user axion is currently used by process 7. "
        "End its processes, and run `fab uninstall` again."
    )
    for home, uid in (("/home/axion", 998), ("/nonexistent", 1000)):
        monkeypatch.setattr(pwd, "getpwnam", lambda name, home=home, uid=uid: account(home, uid))
        uninstall_system.remove_account("axion")
        assert "the account axion: not one that a deployment made" in list(uninstall_system.system_stays("axion"))


@pytest.mark.parametrize("odd", ["a\0b", "/\ud800", "", "."])
def test_only_the_root_and_what_is_above_it_goes_whatever_the_record_says_was_made(tmp_path: Path, odd: str) -> None:
    root, others = tmp_path / "srv" / "axion", tmp_path / "others"
    lay_out(root)
    others.mkdir()
    made = [odd, str(others), str(root), odd, str(root.parent)]
    (root / ".before-axion.json").write_text(json.dumps({"made": made, "there": {odd: [odd]}}))
    for step in ("look", "remove", "leave"):
        program.main(order(root, step))
    assert list(tmp_path.iterdir()) == [others]


RELEASES = (
    "[" * 100_000,
    '{"units": [[1]]}',
    '{"units": {"\\u0000": 1, "\\ud800": 2}}',
    '{"units": "ab"}',
    b"\xff",
    "7",
)


@pytest.mark.parametrize("release", RELEASES, ids=range(len(RELEASES)))
def test_a_release_that_says_anything_tells_no_names_and_goes(tmp_path: Path, release: str | bytes) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)
    (root / ".before-axion.json").unlink()  # so that all is known by its name
    (root / "logs" / "a.log").write_text("somebody's")
    file = root / "releases" / "20260131T120000-0123abcd" / "release.json"
    file.write_bytes(release if isinstance(release, bytes) else release.encode())
    for step in ("look", "remove", "leave"):
        program.main(order(root, step))
    assert not file.exists()
    assert (root / "logs" / "a.log").is_file()


def test_a_log_of_apt_that_a_power_cut_broke_names_no_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninstall_system, "APT_LOG", tmp_path)
    (tmp_path / "history.log.1.gz").write_bytes(gzip.compress(b"Commandline: apt-get install x" * 99)[:-9])
    (tmp_path / "history.log.2.gz").write_bytes(b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 20)
    (tmp_path / "history.log.3.gz").mkdir()
    assert uninstall_system.installed_packages() == []


def test_a_directory_under_the_name_of_a_seal_goes_with_the_rest(tmp_path: Path) -> None:
    root = tmp_path / "srv" / "axion"
    lay_out(root)
    (root / "work" / "packages" / "config.json" / "below").mkdir(parents=True)
    for step in ("remove", "leave"):
        program.main(order(root, step))
    assert list(tmp_path.iterdir()) == []


def test_a_mount_whose_name_has_characters_that_end_lines_elsewhere_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel writes blanks, tabs and line feeds as numbers, and nothing else."""
    line = "36 35 98:0 / {} rw,noatime - ext3 /dev/root rw\n"
    text = "".join(map(line.format, ("/mnt/a\x0cb", "/mnt/a\u2028b", "/mnt/a\\040b")))
    (tmp_path / "mountinfo").write_text(text)
    monkeypatch.setattr(clear, "MOUNTS", tmp_path / "mountinfo")
    assert clear.mounts() == ["/mnt/a\x0cb", "/mnt/a\u2028b", "/mnt/a b"]
