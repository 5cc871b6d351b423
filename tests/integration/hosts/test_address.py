"""The gateway's address stays open whatever restarts or fails behind it, and however quickly. `make test-hosts`."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.host_deployment import ROOT, HostDeployment, host_deployment
from tests.support.share import eventually

pytestmark = pytest.mark.hosts

# Each is more than systemd's usual limits: 5 starts in 10 s, 20 activations by a socket in 2 s.
STORMS = {
    # What happens when a deployment follows another at once: a start that waits for the stop before it counts twice.
    "second gateways that end slowly": """
        systemctl start gateway-handover.service
        systemctl kill --signal=STOP gateway-handover.service
        for each in $(seq 12); do
            systemctl stop --no-block gateway-handover.service
            systemctl start --no-block gateway-handover.service
        done
        systemctl stop --no-block gateway-handover.service
        systemctl kill --signal=CONT gateway-handover.service""",
    "restarts by hand": """
        for each in $(seq 12); do systemctl daemon-reload; systemctl restart --no-block gateway.service; done""",
    "kills": """
        for each in $(seq 40); do systemctl kill --signal=KILL gateway.service; sleep 0.1; done""",
    "stops, each undone by the next client": """
        for each in $(seq 60); do systemctl kill --signal=KILL gateway.service; systemctl stop gateway.service; done""",
    "restarts of everything": """
        systemctl restart axion.target
        systemctl restart axion.target""",
    "nothing to execute": f"""
        mv /{ROOT}/current /{ROOT}/away
        systemctl kill --signal=KILL gateway.service
        sleep 5
        for each in $(seq 12); do systemctl restart --no-block gateway.service gateway-handover.service; done
        mv /{ROOT}/away /{ROOT}/current""",
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    with host_deployment("address", tmp_path_factory.mktemp("d")) as deployed:
        deployed.deploy()
        yield deployed


@pytest.fixture(autouse=True)
def start_afresh(host: HostDeployment) -> None:
    """Let no test suffer from what another one did to the host's units."""
    run(host, "systemctl stop gateway.socket gateway.service gateway-handover.service")
    run(host, "systemctl reset-failed; systemctl start gateway.socket gateway.service axion.target")
    assert_serves(host)


@contextmanager
def knocking(port: int) -> Iterator[Counter[str]]:
    """Connect all the time and count how that ended; a connection that has to wait is a good one."""
    outcomes: Counter[str] = Counter()
    is_over = threading.Event()

    def knock() -> None:
        while not is_over.wait(0.02):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=30).close()
                outcomes["open"] += 1
            except OSError as error:
                outcomes[type(error).__name__] += 1

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield outcomes
    finally:
        is_over.set()
        thread.join()


def run(host: HostDeployment, script: str) -> None:
    """Have the host's shell do it; some of it may fail, as it would by hand."""
    host.machine.run("sh", "-c", script, timeout_s=120)


def assert_serves(host: HostDeployment) -> None:
    eventually(lambda: host.ask("alpha", timeout_s=30)[0] == 200, "it serves without anybody's help", 60)
    of_socket = host.unit("gateway.socket")
    assert (of_socket["ActiveState"], of_socket["Result"]) == ("active", "success")


@pytest.mark.parametrize("script", STORMS.values(), ids=STORMS.keys())
def test_no_connection_is_refused_whatever_goes_on_behind_the_address(host: HostDeployment, script: str) -> None:
    with knocking(host.port) as outcomes:
        run(host, script)
        assert_serves(host)
        run(host, "systemctl restart gateway.service")  # a socket that systemd gave up shows when the gateway lets go
        assert_serves(host)
    assert outcomes["open"] > 20
    assert set(outcomes) == {"open"}


def test_an_address_that_is_closed_and_opened_again_and_again_is_open_in_the_end(host: HostDeployment) -> None:
    run(host, "for each in $(seq 12); do systemctl restart gateway.socket; done; systemctl start axion.target")
    assert_serves(host)


def test_an_address_that_somebody_else_had_at_boot_is_taken_once_it_is_free(host: HostDeployment) -> None:
    run(host, "systemctl stop axion.target gateway.socket gateway.service")
    with socket.create_server(("127.0.0.1", host.port)):
        run(host, "systemctl start --no-block axion.target")
        eventually(lambda: host.unit("gateway.socket")["ActiveState"] == "failed", "the address cannot be had", 30)
        time.sleep(3)
    assert_serves(host)
