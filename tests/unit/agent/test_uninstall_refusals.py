"""Why an uninstallation stops: a sentence for each cause, and nothing half-said."""

import errno
import fcntl
import os
import pwd
from pathlib import Path

import pytest

from agent import uninstall as program
from agent import uninstall_system
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
