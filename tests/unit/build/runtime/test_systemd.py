"""How systemd is told what to do: the commands, and the script that carries them out against a stand-in systemctl."""

import getpass
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import systemd
from agent.protocol import RunnerOrder
from build.deploy.diff import Diff
from build.remote.target import Target
from build.runtime import runner
from tests.support.fakes.systemctl import Systemctl
from tests.support.hosts import DESCRIPTION

VM = Target(name="a host", root="/opt/axion", runner="systemd", python="/usr/bin/python3", user="axion")
NOTHING = Diff(
    is_build=False,
    is_upload=False,
    is_switch=True,
    start=(),
    restart=(),
    stop=(),
    gateway="keep",
    is_runner_up=True,
    is_confirmed=False,
)
real_own = systemd.own
HEAD = "# rendered from templates/systemd/"


def verbs(diff: Diff) -> list[list[str]]:
    (command,) = runner.change_commands(VM, diff)
    assert (command.argv[0], command.argv[-2]) == ("/usr/bin/python3", "systemd")
    order = RunnerOrder.from_json(command.argv[-1])
    assert (order.root, order.user) == ("/opt/axion", "axion")
    return [[step.do, *step.names] for step in order.steps]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [["install"], ["leave"]]),
        ({"is_runner_up": False, "gateway": "start", "start": ("a",)}, [["install"], ["start"]]),
        ({"gateway": "reload", "stop": ("a",)}, [["install"], ["reload"], ["leave"]]),
        (
            {"gateway": "restart", "start": ("a", "b")},
            [["install"], ["restart", "gateway"], ["leave"], ["start", "a", "b"]],
        ),
        (
            {"gateway": "reload", "unload": ("b",), "start": ("a",)},
            [["install"], ["reload"], ["stop", "b"], ["leave"], ["start", "a"]],
        ),
        ({"gateway": "start"}, [["install"], ["start", "gateway"], ["leave"]]),
    ],
)
def test_the_gateway_changes_before_engines_leave_and_come(changes: dict[str, Any], expected: list[list[str]]) -> None:
    assert verbs(replace(NOTHING, **changes)) == expected


def test_logs_are_read_from_the_journals_of_the_services_and_of_systemd() -> None:
    assert str(runner.log_command(VM, "phi4_fast", lines=25)) == (
        "journalctl --namespace=+axion --no-pager --output=short-iso --lines=25 --quiet --unit=vllm@phi4_fast.service"
    )
    followed = runner.log_command(VM, "gateway", lines=5, follow=True, timeout_s=9.0)
    assert followed.argv[-4:] == (
        "--unit=gateway.service",
        "--unit=gateway-handover.service",
        "--unit=gateway.socket",
        "--follow",
    )
    assert followed.timeout_s == 9.0
    assert runner.log_names(VM, ["a"]) == ["a", "gateway", "systemd"]


def test_nothing_has_to_be_swept_where_cgroups_end_with_their_unit() -> None:
    assert runner.sweep_commands(VM) == []


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    made = Systemctl(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(systemd, "UNITS", tmp_path / "etc" / "systemd" / "system")
    monkeypatch.setattr(systemd, "ETC", tmp_path / "etc")
    monkeypatch.setattr(systemd, "own", lambda *_: None)  # accounts and owners need root
    systemd.UNITS.mkdir(parents=True)
    return made


def release(root: Path, name: str, **files: str) -> None:
    base = root / "releases" / name
    texts = {"release.json": replace(DESCRIPTION, units={"alpha": "u1", "gateway": "ug"}).to_json(), **files}
    for path, text in texts.items():
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text(text)
    (root / "builds" / "b1" / "venv" / "lib").mkdir(parents=True, exist_ok=True)
    (base / "build").symlink_to("../../builds/b1")
    (root / "current").unlink(missing_ok=True)
    (root / "current").symlink_to(f"releases/{name}")


def present(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


ALPHA = "systemd/vllm@alpha.service.d/50-resources.conf"
FILES = {
    "systemd/gateway.service": f"{HEAD}gateway\n1",
    ALPHA: f"{HEAD}conf\n1",
    "etc/systemd/journald@axion.conf": f"{HEAD}j\n",
}


def test_units_are_installed_once_and_systemd_reads_them_once(tmp_path: Path, systemctl: Systemctl) -> None:
    release(tmp_path, "1", **FILES)
    systemd.install(tmp_path, "axion")
    assert present(tmp_path / "etc") == {
        "systemd/system/gateway.service": f"{HEAD}gateway\n1",
        "systemd/system/vllm@alpha.service.d/50-resources.conf": f"{HEAD}conf\n1",
        "systemd/journald@axion.conf": f"{HEAD}j\n",
    }
    assert systemctl.calls == [
        "show --property=NeedDaemonReload --value gateway.service vllm@alpha.service",
        "daemon-reload",
        "try-restart systemd-journald@axion.service",
        "enable --quiet axion.target",
    ]
    (systemd.UNITS / "multi-user.target.wants").mkdir()
    (systemd.UNITS / "multi-user.target.wants" / "axion.target").symlink_to("../axion.target")
    systemd.install(tmp_path, "axion")
    assert len(systemctl.calls) == 5, "the second time it only asks"


def test_what_an_interrupted_installation_wrote_is_read_the_next_time(tmp_path: Path, systemctl: Systemctl) -> None:
    release(tmp_path, "1", **FILES)
    systemd.install(tmp_path, "axion")
    systemctl.answer("show", "no\n\nyes\n")
    systemd.install(tmp_path, "axion")
    assert systemctl.calls.count("daemon-reload") == 2


def test_what_the_release_no_longer_has_is_removed_and_what_is_not_ours_stays(
    tmp_path: Path, systemctl: Systemctl
) -> None:
    release(tmp_path, "1", **FILES)
    systemd.install(tmp_path, "axion")
    for name, text in (("idle.service", "# rendered from templates/host/x"), ("theirs.service", "[Unit]")):
        (systemd.UNITS / name).write_text(text)
    (systemd.UNITS / "vllm@alpha.service.d" / "90-theirs.conf").write_text("[Service]")
    release(tmp_path, "2", **{"systemd/gateway.service": f"{HEAD}gateway\n2"})
    systemd.install(tmp_path, "axion")
    assert present(tmp_path / "etc") == {
        "systemd/system/gateway.service": f"{HEAD}gateway\n2",
        "systemd/system/idle.service": "# rendered from templates/host/x",
        "systemd/system/theirs.service": "[Unit]",
        "systemd/system/vllm@alpha.service.d/90-theirs.conf": "[Service]",
    }
    (systemd.UNITS / "vllm@alpha.service.d" / "90-theirs.conf").unlink()
    assert systemctl.calls.count("daemon-reload") == 2


def test_engines_may_read_what_a_strict_umask_kept_for_root(tmp_path: Path, systemctl: Systemctl) -> None:
    release(tmp_path, "1", **FILES)
    inside = tmp_path / "builds" / "b1" / "venv" / "lib"
    for path in (inside, inside.parent, inside.parents[1], inside.parents[2], tmp_path / "releases" / "1"):
        path.chmod(0o700)
    systemd.install(tmp_path, "axion")
    modes = [path.stat().st_mode & 0o777 for path in (inside, inside.parent, inside.parents[1], inside.parents[2])]
    assert modes == [0o755] * 4
    assert (tmp_path / "releases" / "1").stat().st_mode & 0o777 == 0o755


def test_a_directory_that_somebody_else_made_keeps_its_mode(tmp_path: Path) -> None:
    """A root of /var/tmp was once turned from 1777 to 755."""
    for name, mode in ((".", 0o1777), ("logs", 0o750)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name).chmod(mode)
    real_own(tmp_path, getpass.getuser(), {"alpha"})
    modes = {name: (tmp_path / name).stat().st_mode & 0o7777 for name in (".", "logs", "state", "run", "state/alpha")}
    assert modes == {".": 0o1777, "logs": 0o750, "state": 0o755, "run": 0o750, "state/alpha": 0o700}


def test_an_engine_that_keeps_failing_leaves_with_its_release(tmp_path: Path, systemctl: Systemctl) -> None:
    release(tmp_path, "1")
    systemctl.answer(
        "list-units",
        "vllm@alpha.service loaded active running vLLM\nvllm@old.service loaded activating auto-restart vLLM\n",
    )
    systemd.leave(tmp_path)
    assert systemctl.calls[1:] == ["stop vllm@old.service", "reset-failed vllm@old.service"]


def test_starts_are_one_transaction_so_that_engines_load_in_their_order(tmp_path: Path, systemctl: Systemctl) -> None:
    """And restarts, for an engine that kept ending may run again since, of the release that was current then."""
    release(tmp_path, "1")
    systemd.start(tmp_path, ["beta", "gateway", "alpha"])
    assert systemctl.calls == [
        "is-active gateway.socket",
        "reset-failed vllm@beta.service vllm@alpha.service",
        "restart --no-block vllm@beta.service vllm@alpha.service",
        "reset-failed gateway.socket gateway.service",
        "start --no-block gateway.socket gateway.service",
        "is-active axion.target",
        "reset-failed gateway.socket gateway-restart.service gateway-handover.service gateway.service "
        "vllm@alpha.service",
        "start --no-block axion.target",
    ]


def test_a_restart_does_not_use_up_the_tries_of_a_crash(tmp_path: Path, systemctl: Systemctl) -> None:
    systemd.restart(tmp_path, "alpha")
    assert systemctl.calls == ["reset-failed vllm@alpha.service", "restart --no-block vllm@alpha.service"]


@pytest.mark.parametrize(
    ("is_held", "calls"),
    [
        (True, ["start gateway-restart.service"]),
        (
            False,
            [
                "stop gateway-handover.service gateway.service gateway.socket",
                "reset-failed gateway.socket gateway-restart.service gateway-handover.service gateway.service",
                "start gateway.socket gateway.service",
            ],
        ),
    ],
)
def test_the_gateway_is_handed_over_unless_its_addresses_change(
    tmp_path: Path, systemctl: Systemctl, monkeypatch: pytest.MonkeyPatch, is_held: bool, calls: list[str]
) -> None:
    release(tmp_path, "1", **{"gateway.json": '{"listen": [{"host": "127.0.0.1", "port": 1}]}'})
    monkeypatch.setattr(systemd, "addresses_of", lambda pid: ("127.0.0.1:1",) if is_held and pid == 1 else ())
    systemd.restart(tmp_path, "gateway")
    assert systemctl.calls == calls


def test_a_refusal_of_systemd_is_told_in_its_own_words(systemctl: Systemctl) -> None:
    systemctl.fail("stop")
    with pytest.raises(SystemExit, match=r"^systemctl stop gateway\.socket .*: failed: exit status 1\. Look at"):
        systemd.shutdown()


def test_a_socket_that_systemd_lost_is_ended_before_it_is_started(tmp_path: Path, systemctl: Systemctl) -> None:
    """It calls such a one active and hands over nothing: the gateway would end again and again."""
    release(tmp_path, "1", **{"gateway.json": '{"listen": [{"host": "127.0.0.1", "port": 1}]}'})
    systemctl.answer("is-active", "active\n")
    systemd.start(tmp_path, ["gateway"])
    assert systemctl.calls[:4] == [
        "is-active gateway.socket",
        "stop gateway-handover.service gateway.service gateway.socket",
        "reset-failed gateway.socket gateway.service",
        "start --no-block gateway.socket gateway.service",
    ]
