"""Ways to a host through something else: a proxy command of the inventory, and no proxy of the environment."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from build.cli.inventory import written_route
from build.errors import DeployError
from build.remote.command import Command
from build.remote.ssh.connection import NotYet, Route, connect
from build.remote.ssh.executor import SshExecutor
from deployment.stack.inventory import SshHost, inventory_from
from tests.support.ssh_inventory import direct, inventory
from tests.support.ssh_server import SshServer, ssh_server

WHO = Command(argv=("id", "-un"), what="ask who we are")
RELAY = Path(__file__).parents[3] / "support" / "fakes" / "relay.py"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path) as running:
        yield running


def refused(route: Route, kind: type[DeployError]) -> str:
    with pytest.raises(kind) as caught:
        connect(route)
    return str(caught.value)


@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTPS_PROXY", "http_proxy"])
def test_no_proxy_of_the_environment_is_asked_for_a_connection(
    server: SshServer, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "socks5://127.0.0.1:9")
    connect(server.route()).close()


def written(server: SshServer, **changes: Any) -> Route:
    """The way to a host that somebody wrote down."""
    document = inventory(main=direct(server, Path("/opt/axion"), **changes))
    host = inventory_from(document).hosts["main"]
    assert isinstance(host, SshHost)
    return written_route(host)


def test_a_proxy_command_of_the_inventory_is_the_way_to_the_host(server: SshServer) -> None:
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(RELAY))} %p && echo 100%% of %r@%h"
    connection = connect(written(server, ssh_proxy_command=command, ssh_port=server.port))
    assert connection.relay is not None
    assert SshExecutor(lambda: connection).run(WHO).stdout == f"{server.user}\n"
    connection.close()


def test_a_proxy_command_that_fails_is_told_by_its_last_line(server: SshServer) -> None:
    said = refused(written(server, ssh_proxy_command="echo no route to %h:%p as %r >&2; exit 1"), NotYet)
    assert said == (
        f"main (127.0.0.1:{server.port} by its ssh_proxy_command): no way there: no route to "
        f"127.0.0.1:{server.port} as {server.user}. Try that command of the inventory in a shell."
    )


def test_a_host_behind_a_proxy_of_the_environment_is_told_what_ssh_goes_through(
    server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    assert refused(written(server), NotYet).endswith(
        "in the inventory. SSH goes through no proxy of the environment: name one in ssh_proxy_command of the "
        "inventory, such as `nc -X connect -x PROXY:PORT %h %p`."
    )
