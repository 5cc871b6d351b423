"""Models on demand on a systemd host: who starts them, with which rights, and within which memory."""

import json
from collections.abc import Iterator

import pytest

from agent.running import StarterOrder
from deployment.models.load import load_deployment
from deployment.models.memory import estimate_memory
from tests.support.host_deployment import HostDeployment, host_deployment
from tests.support.share import eventually

pytestmark = pytest.mark.hosts
ASK = """
import json, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect("/run/axion/starter.sock")
client.sendall(sys.argv[1].encode() + b"\\n")
print(client.makefile().readline())
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    """alpha always runs, beta and gamma are on demand, and there is memory for one of them."""
    with host_deployment("demand", tmp_path_factory.mktemp("d")) as deployed:
        for name in ("beta", "gamma"):
            deployed.models[name] |= {"on_demand": True, "idle_stop_s": 3600.0}
        deployed.write()
        each = estimate_memory(load_deployment(deployed.file).models["beta"]).total
        free = deployed.json("plan")["on_demand_bytes"]
        reserved = free - int(1.5 * each)
        deployed.rest["host"] = {**deployed.document()["host"], "reserved_memory": f"{(64 << 20) + reserved}B"}
        deployed.deploy()
        yield deployed


def active(host: HostDeployment) -> set[str]:
    return {name for name in host.models if host.unit(f"vllm@{name}.service")["ActiveState"] == "active"}


def runs(host: HostDeployment, *names: str) -> None:
    """A request is answered a moment before its unit says READY=1, so that is waited for."""
    eventually(lambda: active(host) == set(names), f"{', '.join(names) or 'nothing'} and no other engine runs")


def put(host: HostDeployment, order: StarterOrder, *, user: str) -> str:
    words = ("setpriv", f"--reuid={user}", "--clear-groups", "/usr/bin/python3", "-c", ASK, order.to_json())
    return host.machine.output(*words)


def test_the_deployment_proves_each_and_a_request_loads_what_sleeps(host: HostDeployment) -> None:
    assert host.link("confirmed") == host.link("current")
    assert host.unit("engine-starter.socket")["ActiveState"] == "active"
    assert host.ask("beta", timeout_s=90)[0] == 200
    runs(host, "alpha", "beta")
    assert host.ask("gamma", timeout_s=90)[0] == 200
    runs(host, "alpha", "gamma")
    assert host.machine.output("systemctl", "--failed", "--no-legend") == ""
    assert "Nothing to do: " in host.deploy().said


def test_the_starter_takes_orders_of_the_gateways_account_for_listed_models_only(host: HostDeployment) -> None:
    told = json.loads(put(host, StarterOrder(do="stop", name="alpha"), user="axion"))
    assert told["refusal"] == "no model of the release is on demand under this name"
    assert json.loads(put(host, StarterOrder(do="start", name="beta"), user="axion"))["refusal"].endswith(
        str(json.loads((host.root / "current/gateway.json").read_text())["memory"]["budget_bytes"])
    )
    words = ("setpriv", "--reuid=nobody", "--clear-groups", "/usr/bin/python3", "-c", ASK, "{}")
    refused = host.machine.run(*words)
    assert (refused.returncode, "PermissionError" in refused.stderr) == (1, True)
    runs(host, "alpha", "gamma")


def test_a_boot_starts_no_model_on_demand(host: HostDeployment) -> None:
    host.machine.reboot()
    eventually(lambda: host.ask("alpha")[0] == 200, "alpha answers", bound_s=120)
    runs(host, "alpha")
    assert host.ask("beta", timeout_s=90)[0] == 200


def test_stopping_leaves_nothing_and_nothing_can_be_started_then(host: HostDeployment) -> None:
    host.succeed("stop")
    runs(host)
    assert host.unit("engine-starter.socket")["ActiveState"] == "inactive"
