"""What is wrong with the units of a host is told with its cause, and everything else is silent."""

import socket
from pathlib import Path

import pytest

from agent import listeners, units
from agent.protocol import Process
from build.deploy.diff import Desired, decide
from build.deploy.place import place_problems
from build.remote.target import Target
from tests.support.fakes.systemctl import Systemctl
from tests.support.hosts import DESCRIPTION, RELEASE, facts

VM = Target(name="main", root="/opt/axion", runner="systemd", python="python3")
GOOD = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Result": "success"}
GOOD |= {"UnitFileState": "static", "DropInPaths": ""}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release whose two units are installed as it has them."""
    monkeypatch.setattr(units, "UNITS", tmp_path / "etc")
    for directory in (tmp_path / "current" / "systemd", tmp_path / "etc"):
        directory.mkdir(parents=True)
        for name in ("axion.target", "gateway.socket"):
            (directory / name).write_text("[Unit]\n")
    return tmp_path


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    made = Systemctl(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return made


def unit(name: str, **state: str) -> dict[str, str]:
    return {"Id": name, **GOOD, **state}


def told(root: Path) -> list[tuple[str, str]]:
    return [(each.unit, each.kind) for each in units.troubles(root, "systemd", {})]


def test_a_host_in_good_order_has_no_troubles(root: Path, systemctl: Systemctl) -> None:
    absent = {"LoadState": "not-found", "ActiveState": "inactive"}
    systemctl.show(unit("axion.target"), unit("gateway.socket"), unit("opt-axion.mount", **absent))
    assert told(root) == []


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ({"LoadState": "masked", "ActiveState": "inactive"}, "masked"),
        ({"LoadState": "bad-setting"}, "failed"),
        ({"UnitFileState": "disabled"}, "disabled"),
        ({"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}, "failed"),
        ({"DropInPaths": "/etc/systemd/system/axion.target.d/x.conf"}, "extended"),
    ],
)
def test_each_kind_of_trouble_is_told(root: Path, systemctl: Systemctl, state: dict[str, str], kind: str) -> None:
    systemctl.show(unit("axion.target", **state))
    assert told(root) == [("axion.target", kind)]


def test_drop_ins_of_the_distribution_and_of_the_release_are_no_trouble(root: Path, systemctl: Systemctl) -> None:
    (root / "current" / "systemd" / "axion.target.d").mkdir()
    (root / "etc" / "axion.target.d").mkdir()
    for directory in (root / "current" / "systemd", root / "etc"):
        (directory / "axion.target.d" / "10.conf").write_text("[Unit]\n")
    paths = f"/usr/lib/systemd/system/service.d/10-abort.conf {root}/etc/axion.target.d/10.conf"
    systemctl.show(unit("axion.target", DropInPaths=paths))
    assert told(root) == []


def test_an_edited_and_a_removed_unit_are_told(root: Path, systemctl: Systemctl) -> None:
    systemctl.show(unit("axion.target"))
    (root / "etc" / "axion.target").write_text("[Unit]\n# mine\n")
    (root / "etc" / "gateway.socket").unlink()
    assert told(root) == [("axion.target", "edited"), ("gateway.socket", "edited")]


def test_a_socket_whose_address_is_taken_names_who_took_it(root: Path, systemctl: Systemctl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief:
        port = thief.getsockname()[1]
        systemctl.show(
            {**unit("gateway.socket", ActiveState="failed", Result="resources"), "Listen": f"127.0.0.1:{port} (Stream)"}
        )
        (found,) = units.troubles(root, "systemd", {})
    assert found.what.startswith(f"nobody is served, got 127.0.0.1:{port} in use by ")
    assert "(pid " in found.what


def test_who_listens_is_found_by_each_form_of_an_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0"):
            assert "(pid " in listeners.holder(f"{host}:{port}")
            assert listeners.refusal(f"{host}:{port}") == "EADDRINUSE"
    assert listeners.holder(f"127.0.0.1:{port}") == "a program that it does not see"
    assert listeners.refusal(f"127.0.0.1:{port}") is None


def test_a_host_that_was_never_deployed_to_or_that_is_here_has_no_units(tmp_path: Path, systemctl: Systemctl) -> None:
    assert units.troubles(tmp_path, "systemd", None) == ()
    assert units.troubles(tmp_path, "supervisor", {"gateway": Process("RUNNING", 7)}) == ()
    assert systemctl.calls == []


def trouble(unit: str, kind: str) -> dict[str, str]:
    return {"unit": unit, "kind": kind, "what": "x"}


@pytest.mark.parametrize(
    ("name", "kind", "restart", "gateway", "repair"),
    [
        ("axion.target", "disabled", (), "keep", ("axion.target",)),
        ("vllm@.service", "edited", ("alpha", "beta"), "keep", ("vllm@.service",)),
        ("vllm@beta.service", "edited", ("beta",), "keep", ("vllm@beta.service",)),
        ("gateway-handover.service", "edited", (), "restart", ("gateway-handover.service",)),
        ("vllm@beta.service", "extended", (), "keep", ()),
    ],
)
def test_a_deployment_installs_again_what_was_changed_and_restarts_what_may_run_it(
    name: str, kind: str, restart: tuple[str, ...], gateway: str, repair: tuple[str, ...]
) -> None:
    diff = decide(Desired.described(RELEASE, DESCRIPTION), facts(troubles=[trouble(name, kind)]))
    assert (diff.restart, diff.gateway, diff.repair) == (restart, gateway, repair)
    assert diff.is_nothing == (not repair)


def problems(**changes: object) -> list[str]:
    return list(place_problems(VM, facts(**changes)))


def test_a_directory_is_judged_by_where_it_leads_and_by_who_may_enter() -> None:
    assert problems() == problems(real_root="/opt/axion") == problems(real_root="/mnt/disk-1/axion") == []
    (told,) = problems(real_root="/home/me/axion")
    assert told.startswith(
        "main: data_mount leads elsewhere: below a home, which services do not see, got /opt/axion -> /home/me/axion."
    )
    assert problems(closed="/opt/axion") == [
        "main: the account that serves cannot pass /opt/axion: a directory that not everybody may enter. "
        "Run `chmod o+x /opt/axion` there, or give another data_mount."
    ]
    (told,) = problems(no_links=["current"])
    assert told.startswith("main: /opt/axion/current is no link to a release, got something that somebody else")
    assert problems(troubles=[trouble("gateway.socket", "masked")]) == ["main: gateway.socket: x."]
