"""Streams through all changes that a host goes through in normal life: none fails, none is cut. `make test-hosts`."""

from collections.abc import Iterator

import pytest

from tests.support.host_deployment import HostDeployment, host_deployment
from tests.support.steady_clients import SteadyClients

pytestmark = pytest.mark.hosts

TOKENS = 40
CLIENTS = ("alpha", "beta", "gamma") * 3


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    with host_deployment("streaming", tmp_path_factory.mktemp("d")) as deployed:
        for name in tuple(deployed.models):
            slow = deployed.checkpoint(f"slow-{name}", token_delay_s=0.05)
            deployed.models[name]["weights"] = {"path": f"/{slow.relative_to(deployed.machine.root)}"}
        deployed.deploy()
        yield deployed


def test_no_stream_of_two_hundred_fails_while_gateway_and_every_engine_are_replaced(
    host: HostDeployment, capsys: pytest.CaptureFixture[str]
) -> None:
    before = host.invocations()
    with SteadyClients(host.port, CLIENTS, tokens=TOKENS) as clients:
        host.succeed("restart", "gateway")
        host.succeed("restart", "gateway")
        for number, name in enumerate(host.models):
            host.models[name]["engine"]["max_num_seqs"] = number + 3
        host.models["alpha"]["aliases"] = ["first"]
        host.deploy()
        host.succeed("rollback")
        while clients.whole + len(clients.failures) < 200:
            host.succeed("restart", "gateway")
    with capsys.disabled():
        print(f"\n{clients.whole} streams of {TOKENS} tokens were whole, {len(clients.failures)} were not")
    assert clients.failures == []
    assert clients.whole >= 200
    after = host.invocations()
    assert all(after[name] != before[name] for name in after)
    assert host.serves_current()
