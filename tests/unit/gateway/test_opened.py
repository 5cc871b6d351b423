"""A gateway that other machines may reach: from the stack's settings to the host's units, and never without keys."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from build.cli.hosts import Selection
from build.cli.inventory import remote_target
from build.deploy.preflight import exposure_problems
from build.deploy.prepare import prepare
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.target import Target, local_target
from deployment.errors import ConfigError
from deployment.stack.inventory import inventory_from
from tests.support.deployments import deployment, document
from tests.support.pulumi_stack import PulumiStack
from tests.support.ssh_inventory import host_entry, inventory
from tests.support.standing_stack import host_settings
from tests.unit.build.deploy.test_begun import Busy
from tests.unit.deployment.stack.test_guardrails import WITH_KEYS, checked, problems

SECRET = "projects/axion-test/secrets/axion-prod-gateway-api-keys"


def units_of(stack: PulumiStack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a deployment to the stack's host would install, by the code that `fab build-and-deploy` runs."""
    for name, value in {**stack.environment, "AXION_PROJECT": str(stack.folder)}.items():
        monkeypatch.setenv(name, value)
    read = Selection(stack=stack.name).read(Reporter(), LocalExecutor())
    fresh = Busy(checkpoints={}, refused_addresses={})  # a c4a-standard-32 on which nothing is
    prepared = prepare(stack.folder / "models.yaml", remote_target(read, read.hosts["main"]), fresh)
    return {file.path: file.text for file in prepared.release.files}


def lines(text: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text, flags=re.MULTILINE)


def test_the_settings_of_a_stack_reach_the_units_of_its_host(
    prod: PulumiStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pulumi.prod.yaml, the real CLI, its output, and the release that a deployment makes of it."""
    models = prod.folder / "models.yaml"
    models.write_text(models.read_text().replace("127.0.0.1:8082", "0.0.0.0:8443"))
    with pytest.raises(
        DeployError, match=r"gateway\.listen\[1\]: other machines can reach it, and .* asks for no keys"
    ):
        units_of(prod, monkeypatch)
    models.write_text(models.read_text().replace("0.0.0.0:8443", "127.0.0.1:8443"))
    closed = units_of(prod, monkeypatch)
    models.write_text(models.read_text().replace("127.0.0.1:8443", "0.0.0.0:8443"))
    assert lines(closed["systemd/gateway.socket"], "IPAddressAllow") == ["localhost"]
    assert "--keys" not in closed["systemd/gateway.service"]
    assert "systemd/gateway-keys.service" not in closed

    prod.config("network", {"cidr": "10.20.0.0/24", "gatewayCidrs": ["10.20.0.0/24", "10.30.0.0/16"]})
    host_settings(prod, publicIp={"allowCidrs": ["203.0.113.0/28"]})
    refused = prod.preview(check=False)
    assert refused.status != 0
    assert "config.axion:gatewayApiKeys: missing where gatewayCidrs or publicIp open the gateway" in refused.said
    prod.config("axion:gatewayApiKeys", "planted-key", is_secret=True)
    prod.up()
    opened = units_of(prod, monkeypatch)
    socket = opened["systemd/gateway.socket"]
    assert lines(socket, "IPAddressDeny") == ["any"]
    assert lines(socket, "IPAddressAllow") == ["localhost", "10.20.0.0/24", "10.30.0.0/16", "203.0.113.0/28"]
    assert lines(socket, "ListenStream") == ["127.0.0.1:8080", "0.0.0.0:8443"]
    for unit in ("gateway.service", "gateway-handover.service"):
        assert lines(opened[f"systemd/{unit}"], "ExecStart")[0].endswith(
            " --inherit --keys /run/axion/gateway-key-digests --usage /opt/axion/state/gateway/usage"
        )
        assert lines(opened[f"systemd/{unit}"], "ReadWritePaths") == ["-/opt/axion/state/gateway"]
        assert lines(opened[f"systemd/{unit}"], "User") == ["axion"]
    assert lines(opened["systemd/gateway-keys.service"], "ExecStart") == [
        f"/usr/bin/python3 -s -P -m agent.secrets {SECRET} /run/axion/gateway-key-digests axion"
    ]
    assert "def install_keys" in opened["lib/agent/secrets.py"]
    assert "planted-key" not in "".join(opened.values())


@pytest.mark.parametrize(
    "opening",
    [
        {"host": {"publicIp": {"allowCidrs": ["203.0.113.0/28"]}}},
        {"axion__network": {"gatewayCidrs": ["10.9.0.0/16"]}},
    ],
)
def test_a_stack_opens_its_gateway_to_nobody_without_keys(tmp_path: Path, opening: dict[str, Any]) -> None:
    checked(tmp_path)  # which writes the models file
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(document(gateway={"listen": ["0.0.0.0:8443"]})))
    (found,) = problems(tmp_path, **opening)
    assert found.endswith(
        "axion:gatewayApiKeys: missing where gatewayCidrs or publicIp open the gateway. Run `pulumi "
        "config set --secret axion:gatewayApiKeys` and give the keys that clients must send, one a line; or open "
        "nothing."
    )
    checked(tmp_path, **opening, **WITH_KEYS)


def test_a_written_inventory_opens_its_gateway_to_nobody_without_keys() -> None:
    opened = host_entry(gateway_clients=["10.0.0.0/8", "203.0.113.0/28"])
    with pytest.raises(ConfigError) as caught:
        inventory_from(inventory(main=opened, other=host_entry(name="axion-dev-other")), "lab.json")
    assert caught.value.problems == (
        "lab.json hosts.main.gateway_clients: open to whoever is there, and gateway_keys is missing. Give the keys "
        "that clients must send: axion:gatewayApiKeys of the stack, or a file of the host.",
    )
    read = inventory_from(inventory(main={**opened, "gateway_keys": "/etc/axion/keys"}))
    target = remote_target(read, read.hosts["main"])
    assert (target.clients, target.keys) == (("10.0.0.0/8", "203.0.113.0/28"), "/etc/axion/keys")
    assert inventory_from(read.as_data()) == read


ANYWHERE = ["127.0.0.1:8080", "localhost:8081", "0.0.0.0:8082", "10.0.0.5:8083"]
LAB = inventory_from(inventory(main=host_entry()))
HOST = remote_target(LAB, LAB.hosts["main"])


def exposed(target: Target, **gateway: Any) -> list[str]:
    return list(exposure_problems(deployment(gateway={"listen": ANYWHERE, **gateway}), target))


def test_a_gateway_that_other_machines_can_reach_is_refused_without_keys_before_anything_is_deployed() -> None:
    assert exposed(HOST) == [
        f'gateway.listen[{place}]: other machines can reach it, and {HOST.name} asks for no keys, got "{address}". '
        "Give keys (axion:gatewayApiKeys of the stack, gateway_keys of an inventory), or use 127.0.0.1; where a "
        "network of your own keeps strangers out, say so: `open: true` under gateway."
        for place, address in ((2, "0.0.0.0:8082"), (3, "10.0.0.5:8083"))
    ]
    (first, _) = exposed(local_target(Path("/opt/axion")))
    assert 'got "0.0.0.0:8082". Use 127.0.0.1; where a network of your own' in first
    assert exposed(HOST, open=True) == exposed(replace(HOST, keys="/etc/axion/keys")) == []


@pytest.mark.parametrize(
    ("range_", "what"),
    [("0.0.0.0/0", "wider than /16"), ("10.0.0.1/8", "its host bits are set"), ("everybody", "not an IPv4 range")],
)
def test_a_written_range_that_is_the_world_or_none_is_refused(range_: str, what: str) -> None:
    entry = host_entry(gateway_clients=[range_], gateway_keys="/etc/axion/keys")
    with pytest.raises(ConfigError, match=what):
        inventory_from(inventory(main=entry))
