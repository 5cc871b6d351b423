"""A directory that cannot hold a deployment is seen by a look at the host, and keeps everything from being switched."""

import sys
from pathlib import Path
from typing import Any

import pytest

from build.deploy.facts import Facts, gather, probe_command
from build.deploy.switch import switch_to
from build.errors import DeployError
from build.progress import Reporter
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target
from tests.support.host_directory import host_directory
from tests.support.hosts import RELEASE, facts
from tests.unit.build.deploy.test_begun import Busy, prepared_on

MAIN = Target(name="main", root="/opt/axion", runner="systemd", python="/usr/bin/python3", user="axion")
UNFIT: dict[str, dict[str, Any]] = {
    "main: data_mount leads elsewhere: below a home, which services do not see, got ": {"real_root": "/home/me/axion"},
    "main: the account that serves cannot pass /opt/axion: a directory that not ": {"closed": "/opt/axion"},
    "main: /opt/axion/current is no link to a release, got something that somebody ": {"no_links": ["current"]},
    "main: gateway.socket: masked.": {"troubles": [{"unit": "gateway.socket", "kind": "masked", "what": "masked"}]},
}


class Answering:
    """A host that says what it is, and whose every command is remembered."""

    def __init__(self, found: Facts) -> None:
        self.found, self.asked = found, list[str]()

    def run(self, command: Command, on_line: Any = None) -> Result:
        self.asked.append(command.what)
        return Result(status=0, stdout=self.found.to_json(), stderr="")

    def open(self, command: Command) -> Any:
        raise AssertionError(f"nothing stays open here, got {command.what}")


@pytest.mark.parametrize(("said", "changes"), UNFIT.items())
def test_neither_a_deployment_nor_a_rollback_begins_in_an_unfit_place(
    said: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(DeployError) as caught:
        prepared_on(Busy(**changes), tmp_path)
    assert [problem.startswith(said) for problem in caught.value.problems] == [True]
    host = Answering(facts(**changes))
    with pytest.raises(DeployError) as caught:
        switch_to(Host(MAIN, host, Reporter()), RELEASE)
    assert [problem.startswith(said) for problem in caught.value.problems] == [True]
    assert host.asked == ["look at the host"]


def seen(root: Path) -> Facts:
    target = Target(name="main", root=str(root), runner="supervisor", python=sys.executable)
    return gather(LocalExecutor(), probe_command(target, {}, ()))


def test_a_look_at_the_host_sees_where_its_directory_leads_who_may_enter_and_what_is_no_link() -> None:
    with host_directory() as place:
        place.chmod(0o755)
        there, link = place / "there", place / "link"
        there.mkdir()
        link.symlink_to("there")
        (there / "current").mkdir()
        (there / "confirmed").symlink_to("releases/gone")
        found = seen(link)
        assert (found.real_root, found.closed, found.no_links) == (str(there), None, ("current",))
        there.chmod(0o750)
        assert seen(link).closed == str(there)
        place.chmod(0o700)
        assert seen(there / "not" / "yet").closed == str(place)
