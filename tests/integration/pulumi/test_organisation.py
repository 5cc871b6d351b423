"""Stacks of an organisation, with the real CLI: what others made is used, nothing is made beside it, and it stays.

Each way has its control: the same stack where the others have not done their part.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fakes.cloud.encryption import COMPUTE, SECRETS, STORAGE, add_key
from tests.support.fakes.cloud.others import ACCOUNT_USER, NETWORK_USER, grant
from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack

Json = dict[str, Any]
ZONE = "projects/axion-test/zones/us-central1-a"
VM = f"{ZONE}/instances/axion-dev-main"
HOST: Json = {
    "machineType": "c4a-standard-8",
    "bootDiskGib": 30,
    "dataDiskGib": 60,
    "models": "examples/dev/models.yaml",
}
GOOGLE = "https://www.googleapis.com/compute/v1/"
SUBNET = "projects/corp-network/regions/us-central1/subnetworks/serving"
OWN_NETWORK = "projects/axion-test/global/networks/own"
OWN_SUBNET = "projects/axion-test/regions/us-central1/subnetworks/mine"
KEY = "projects/corp-keys/locations/us-central1/keyRings/ring/cryptoKeys/disks"
ACCOUNT = "serving@corp-accounts.iam.gserviceaccount.com"
ACCOUNT_PATH = f"projects/corp-accounts/serviceAccounts/{ACCOUNT}"


@pytest.fixture
def dev(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> PulumiStack:
    """The dev example without its spot rules."""
    stack = PulumiStack.of_checkout(tmp_path, pulumi_cli, cloud)
    stack.config("hosts", {"main": HOST}).config("maxHourlyUsd", 1)
    stack.config("axion:gatewayApiKeys", "planted", is_secret=True)
    return stack.config("deleteData", ["axion-dev-data-main"])


def host_network(cloud: Cloud) -> None:
    """A Shared VPC with one subnet, in a project of others."""
    network = "projects/corp-network/global/networks/corp"
    cloud.state.resources[network] = {"name": "corp", "selfLink": GOOGLE + network}
    subnet = {
        "name": "serving",
        "ipCidrRange": "10.128.0.0/24",
        "network": GOOGLE + network,
        "selfLink": GOOGLE + SUBNET,
    }
    cloud.state.resources[SUBNET] = subnet
    cloud.state.settings.host_projects.add("corp-network")


def own_network(cloud: Cloud) -> None:
    """A VPC with one subnet that somebody made in the stack's project."""
    cloud.state.resources[OWN_NETWORK] = {"name": "own", "selfLink": GOOGLE + OWN_NETWORK}
    subnet = {"name": "mine", "ipCidrRange": "10.9.0.0/24", "network": GOOGLE + OWN_NETWORK}
    cloud.state.resources[OWN_SUBNET] = {**subnet, "selfLink": GOOGLE + OWN_SUBNET}


def kinds(cloud: Cloud) -> set[str]:
    """The collections that have something in the stack's project."""
    return {path.split("/")[-2] for path, _ in cloud.state.under("projects/axion-test")}


def test_a_host_in_a_shared_vpc(dev: PulumiStack, cloud: Cloud) -> None:
    host_network(cloud)
    dev.config("network", {"subnetwork": SUBNET})
    refused = dev.up(check=False)
    assert "Required 'compute.subnetworks.use' permission for '" + SUBNET in refused.said
    grant(cloud.state, SUBNET, NETWORK_USER)
    said = dev.preview().said
    dev.up()
    assert cloud.state.resources[VM]["networkInterfaces"][0]["subnetwork"] == GOOGLE + SUBNET
    assert kinds(cloud).isdisjoint({"networks", "subnetworks", "routers", "firewalls"})
    assert "private Google access and a way out" in said
    assert "tcp:22 from 35.235.240.0/20 to tag axion-dev-host." in said
    assert dev.plan() == {}
    # Into a subnet of the project's own, whose VPC the stack may open.
    own_network(cloud)
    dev.config("network", {"subnetwork": "mine", "vpc": "own", "gatewayCidrs": ["10.0.0.0/8"]})
    dev.config("hosts", {"main": {**HOST, "models": "open.yaml"}})
    models = yaml.safe_load((dev.folder / HOST["models"]).read_text())
    models["gateway"]["listen"] = ["0.0.0.0:8080"]
    (dev.folder / "open.yaml").write_text(yaml.safe_dump(models))
    (dev.folder / "open.lock.json").write_text((dev.folder / "examples" / "dev" / "models.lock.json").read_text())
    dev.up()
    assert cloud.state.resources[VM]["networkInterfaces"][0]["subnetwork"] == GOOGLE + OWN_SUBNET
    rules = {path.rpartition("/")[2]: one for path, one in cloud.state.under("projects/axion-test", "firewalls")}
    assert sorted(rules) == ["axion-dev-allow-gateway", "axion-dev-allow-iap-ssh"]
    assert {one["network"] for one in rules.values()} == {GOOGLE + OWN_NETWORK}
    assert dev.plan() == {}
    dev.destroy()
    assert {SUBNET, OWN_SUBNET, OWN_NETWORK} <= set(cloud.state.resources)
    assert kinds(cloud) == {"roles", "networks", "subnetworks"}


def test_a_host_with_an_account_and_a_role_of_others(dev: PulumiStack, cloud: Cloud) -> None:
    role = "projects/axion-test/roles/stopper"
    cloud.state.resources[role] = {"name": role, "includedPermissions": ["compute.instances.stop"]}
    dev.config("hosts", {"main": {**HOST, "serviceAccount": ACCOUNT}}).config("stopRole", role)
    dev.config("secureBoot", False).config("secretRegions", ["us-central1", "europe-west4"])
    message = f"The user does not have access to service account '{ACCOUNT}'"
    assert message in dev.up(check=False).said  # nobody made it
    cloud.state.resources[ACCOUNT_PATH] = {"name": ACCOUNT_PATH, "email": ACCOUNT}
    assert message in dev.up(check=False).said  # it is not ours to use
    grant(cloud.state, ACCOUNT_PATH, ACCOUNT_USER)
    said = dev.preview().said
    dev.up()
    assert cloud.state.resources[VM]["serviceAccounts"][0]["email"] == ACCOUNT
    assert cloud.state.policies[VM]["bindings"] == [{"role": role, "members": [f"serviceAccount:{ACCOUNT}"]}]
    assert cloud.state.resources[VM]["shieldedInstanceConfig"]["enableSecureBoot"] is False
    secret = cloud.state.resources["projects/axion-test/secrets/axion-dev-gateway-api-keys"]
    replicas = [{"location": "us-central1"}, {"location": "europe-west4"}]
    assert secret["replication"] == {"userManaged": {"replicas": replicas}}
    assert kinds(cloud) & {"serviceAccounts", "roles"} == {"roles"}
    assert [path for path, policy in cloud.state.policies.items() if ACCOUNT in str(policy)] == [VM]
    assert f"{ACCOUNT} needs roles/logging.logWriter and roles/monitoring.metricWriter on axion-test;" in said
    assert "roles/secretmanager.secretAccessor on axion-dev-gateway-api-keys." in said
    assert dev.plan() == {}
    dev.destroy()
    assert {ACCOUNT_PATH, role} <= set(cloud.state.resources)


def test_a_key_of_others_encrypts_all_that_keeps_data(dev: PulumiStack, cloud: Cloud) -> None:
    dev.config("kmsKey", KEY).config("bucket", True).config(
        "deleteData", ["axion-dev-data-main", "axion-dev-axion-test"]
    ).config("labels", {"cost-center": "c42"})
    add_key(cloud.state, KEY)
    # Without the flag Pulumi begins nothing more once one has failed, and which one that is differs.
    refused = dev.up("--continue-on-error", check=False).said
    assert f"Cloud KMS error when using key {KEY}: Permission 'cloudkms.cryptoKeyVersions.useToEncrypt'" in refused
    assert "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account" in refused
    told = refused.rpartition("Diagnostics:")[2]
    assert told.count("useToEncrypt' denied on resource") == 3  # two disks and a secret
    add_key(cloud.state, KEY, COMPUTE, STORAGE, SECRETS)
    said = dev.preview().said
    dev.up()
    found = cloud.state.resources
    disks = [one["diskEncryptionKey"] for path, one in cloud.state.under(ZONE, "disks")]
    assert disks == [{"kmsKeyName": f"{KEY}/cryptoKeyVersions/1"}] * 2
    assert found["b/axion-dev-axion-test"]["encryption"] == {"defaultKmsKeyName": KEY}
    replica = {"location": "us-central1", "customerManagedEncryption": {"kmsKeyName": KEY}}
    secret = found["projects/axion-test/secrets/axion-dev-gateway-api-keys"]
    assert secret["replication"] == {"userManaged": {"replicas": [replica]}}
    assert "service-NUMBER@compute-system.iam.gserviceaccount.com (disks)" in said
    assert dev.plan() == {}
    labelled = [one["labels"] for one in found.values() if "axion-stack" in one.get("labels", {})]
    assert len(labelled) == 5  # two disks, the instance, the secret, the bucket
    assert {one["cost-center"] for one in labelled} == {"c42"}
    dev.destroy()
    assert KEY in found
    assert not list(cloud.state.under(ZONE, "disks"))


def test_a_role_is_another_one_in_each_life_of_its_stack(dev: PulumiStack, cloud: Cloud) -> None:
    """Google refuses the id of a deleted role for a month; the number of an account it gives only once."""
    planned = dev.preview("--json").stdout
    assert '"axion_dev_stop' not in planned  # known only when the account is
    dev.up()
    (first,) = [path for path, _ in cloud.state.under("projects/axion-test", "roles")]
    number = next(one["uniqueId"] for _, one in cloud.state.under("projects/axion-test", "serviceAccounts"))
    assert first == f"projects/axion-test/roles/axion_dev_stop_main_{number}"
    dev.destroy()
    dev.up()
    roles = {path: bool(one.get("deleted")) for path, one in cloud.state.under("projects/axion-test", "roles")}
    assert len(roles) == 2
    assert roles[first]
