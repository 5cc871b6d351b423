"""What belongs to a stack, what it costs, and how it is removed: from gcloud's answers."""

from pathlib import Path
from typing import Any

import pytest

from build.cloud.census import Census, belongs, removal_commands, take_census
from build.cloud.gcloud import Gcloud
from build.cloud.kinds import KINDS, Kind
from build.errors import DeployError
from build.remote.executor import LocalExecutor
from deployment.stack.catalog import load_catalog
from tests.support.replayed_gcloud import ReplayedGcloud, refuses, says

ZONE = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a"
REGION = "https://www.googleapis.com/compute/v1/projects/p/regions/us-central1"
OURS = {"axion-stack": "dev"}
INSTANCE = {
    "name": "axion-dev-main", "zone": ZONE, "status": "RUNNING", "labels": OURS, "deletionProtection": True,
    "machineType": f"{ZONE}/machineTypes/c4a-standard-32", "selfLink": f"{ZONE}/instances/axion-dev-main",
    "scheduling": {"provisioningModel": "STANDARD"},
    "disks": [
        {"autoDelete": True, "source": f"{ZONE}/disks/axion-dev-main"}, {"source": f"{ZONE}/disks/axion-dev-data"},
    ],
}  # fmt: skip
BOOT_DISK = {
    "name": "axion-dev-main", "zone": ZONE, "labels": OURS, "sizeGb": "50", "provisionedIops": "3000",
    "provisionedThroughput": "140", "type": f"{ZONE}/diskTypes/hyperdisk-balanced",
    "selfLink": "https://compute.googleapis.com/compute/v1/projects/p/zones/us-central1-a/disks/axion-dev-main",
}  # fmt: skip
DATA_DISK = {**BOOT_DISK, "name": "axion-dev-data", "sizeGb": "200", "selfLink": f"{ZONE}/disks/axion-dev-data"}
EVERYTHING = (
    says("compute instances list", [INSTANCE]),
    says("compute disks list", [BOOT_DISK, DATA_DISK]),
    says("compute networks subnets list", [{"name": "axion-dev-subnet", "region": REGION}]),
    says("compute networks list", [{"name": "axion-dev-vpc"}]),
    says("compute routers list", [{"name": "axion-dev-router", "region": REGION}]),
    says("compute firewall-rules list", [{"name": "axion-dev-allow-iap-ssh"}]),
    says("compute resource-policies list", [{"name": "axion-dev-snapshots", "region": REGION}]),
    says("compute snapshots list", [{"name": "nightly", "labels": OURS}]),
    says("compute addresses list", [{"name": "axion-dev-ip", "labels": OURS}]),
    says("iam service-accounts list", [{"name": "projects/p/x", "email": "axion-dev-main@p.iam.gserviceaccount.com"}]),
    says("iam roles list", [{"name": "projects/p/roles/axion_dev_stop"}]),
    says("secrets list", [{"name": "projects/1/secrets/axion-dev-hub-token", "labels": OURS}]),
    says("storage buckets list", [{"name": "axion-dev-p", "labels": OURS}]),
    says(
        "projects get-iam-policy",
        {"bindings": [{
            "role": "roles/logging.logWriter",
            "members": ["serviceAccount:axion-dev-main@p.iam.gserviceaccount.com", "user:me@example.com"],
        }]},
    ),
    says(
        "monitoring policies list",
        [{"name": "projects/p/alertPolicies/7", "displayName": "disk full", "userLabels": OURS}],
    ),
)  # fmt: skip


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReplayedGcloud:
    return ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)


def taken(stack: str = "dev", *others: str) -> Census:
    return take_census(Gcloud(LocalExecutor(), "p"), stack, load_catalog(), others)


def kind(name: str) -> Kind:
    (found,) = (each for each in KINDS if each.name == name)
    return found


def test_an_empty_project_has_nothing_left(gcloud: ReplayedGcloud) -> None:
    census = taken()
    assert (census.is_empty, census.known_monthly_usd, removal_commands(census)) == (True, 0.0, [])
    assert len(gcloud.calls) == len(KINDS) == 16
    assert all("--format=json --quiet" in call and "p" in call for call in gcloud.calls)


def test_everything_is_counted_with_what_it_costs(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(*EVERYTHING)
    census = taken()
    assert {each.kind.name: each.monthly_usd for each in census.found if each.kind.is_free} == {
        "firewall rule": 0, "subnet": 0, "network": 0, "snapshot schedule": 0, "role grant": 0, "service account": 0,
        "custom role": 0,
    }  # fmt: skip
    priced = {each.name: round(each.monthly_usd, 2) for each in census.found if each.monthly_usd}
    # 1.4368 x 730; 200 GiB x 0.08. The boot disk of 50 GiB has the machine's name: 4.00.
    assert priced == {"axion-dev-main": 4.0, "axion-dev-data": 16.0}
    assert [each.monthly_usd for each in census.found if each.kind.name == "instance"] == [pytest.approx(1048.864)]
    assert census.known_monthly_usd == pytest.approx(1068.864)
    assert set(census.unknown) == {
        "disk full", "nightly", "axion-dev-ip", "axion-dev-router", "axion-dev-hub-token", "axion-dev-p",
    }  # fmt: skip


def test_the_commands_remove_everything_in_an_order_that_works(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(*EVERYTHING)
    lines = removal_commands(taken())
    assert all(line.endswith(" --project=p --quiet") for line in lines)
    assert [line.removesuffix(" --project=p --quiet") for line in lines] == [
        "gcloud alpha monitoring policies delete projects/p/alertPolicies/7",
        "gcloud compute instances update axion-dev-main --zone=us-central1-a --no-deletion-protection",
        "gcloud compute instances delete axion-dev-main --zone=us-central1-a",
        # The boot disk goes with its instance; asking for it again would fail.
        "gcloud compute disks delete axion-dev-data --zone=us-central1-a",
        "gcloud compute snapshots delete nightly",
        "gcloud compute addresses delete axion-dev-ip --global",
        "gcloud compute resource-policies delete axion-dev-snapshots --region=us-central1",
        "gcloud compute firewall-rules delete axion-dev-allow-iap-ssh",
        "gcloud compute routers delete axion-dev-router --region=us-central1",
        "gcloud compute networks subnets delete axion-dev-subnet --region=us-central1",
        "gcloud compute networks delete axion-dev-vpc",
        "gcloud projects remove-iam-policy-binding p --member=serviceAccount:axion-dev-main@p.iam.gserviceaccount.com "
        "--role=roles/logging.logWriter --condition=None",
        "gcloud iam service-accounts delete axion-dev-main@p.iam.gserviceaccount.com",
        "gcloud iam roles delete axion_dev_stop",
        "gcloud secrets delete axion-dev-hub-token",
        "gcloud storage rm --recursive gs://axion-dev-p",
    ]


@pytest.mark.parametrize(
    ("state", "model", "monthly"),
    # 0.01387 x 32 + 0.001578 x 128 = 0.645824 an hour
    [("TERMINATED", "STANDARD", 0.0), ("RUNNING", "SPOT", 471.45), ("STOPPING", "STANDARD", 1048.86)],
)
def test_a_machine_costs_what_it_is_bought_as_and_nothing_while_stopped(
    gcloud: ReplayedGcloud, state: str, model: str, monthly: float
) -> None:
    item = {**INSTANCE, "status": state, "scheduling": {"provisioningModel": model}}
    gcloud.answers(says("compute instances list", [item]))
    (found,) = taken().found
    assert found.monthly_usd == pytest.approx(monthly, abs=0.005)


def test_an_unknown_price_is_unknown_and_the_sum_a_lower_bound(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(
        says("compute instances list", [{**INSTANCE, "machineType": "e2-small"}]),
        says("compute disks list", [DATA_DISK]),
    )
    census = taken()
    assert census.unknown == ("axion-dev-main",)
    assert census.known_monthly_usd == pytest.approx(16.0)


def test_a_budget_is_looked_for_in_the_billing_account_that_the_stack_names(gcloud: ReplayedGcloud) -> None:
    path, account = "billingAccounts/012345-6789AB-CDEF01/budgets/7", "012345-6789AB-CDEF01"
    listed = [
        {"name": path, "displayName": "axion-dev-monthly"},
        {"name": f"{path}0", "displayName": "axion-prod-monthly"},
        {"name": f"{path}1", "displayName": "Travel"},
    ]
    gcloud.answers(says(f"billing budgets list --billing-account={account}", listed))
    assert taken().is_empty
    census = take_census(Gcloud(LocalExecutor(), "p"), "dev", load_catalog(), (), account)
    (found,) = census.found
    assert (found.kind.name, found.name, found.monthly_usd) == ("budget", "axion-dev-monthly", 0.0)
    assert removal_commands(census) == [f"gcloud billing budgets delete {path} --project=p --quiet"]


def test_role_grants_come_in_one_order_whatever_order_google_tells_them_in(gcloud: ReplayedGcloud) -> None:
    member = "serviceAccount:axion-dev-main@p.iam.gserviceaccount.com"
    roles = ["roles/monitoring.metricWriter", "roles/logging.logWriter"]
    bindings = [{"role": role, "members": [member]} for role in roles]
    gcloud.answers(says("projects get-iam-policy", {"bindings": bindings}))
    assert [each.item["role"] for each in taken().found] == [roles[1], roles[0]]


@pytest.mark.parametrize(
    ("what", "item", "is_ours"),
    [
        ("disk", {"name": "anything", "labels": {"axion-stack": "dev"}}, True),
        ("disk", {"name": "axion-dev-data", "labels": {"axion-stack": "dev-2"}}, False),
        ("disk", {"name": "axion-dev-data"}, False),
        ("network", {"name": "axion-dev-vpc"}, True),
        ("network", {"name": "axion-devel-vpc"}, False),
        ("network", {"name": "my-axion-dev-vpc"}, False),
        ("network", {"name": "axion-dev-2-vpc"}, False),
        ("network", {"name": "axion-dev-two-vpc"}, True),
        ("custom role", {"name": "projects/p/roles/axion_dev_stop"}, True),
        ("custom role", {"name": "projects/p/roles/axion_dev_stop_main_1234"}, True),
        ("custom role", {"name": "projects/p/roles/axion_dev_2_stop_main_1234"}, False),
        ("address", {"name": "axion-dev-main-ip"}, True),
        ("address", {"name": "axion-dev-main-ip", "labels": {"axion-stack": "other"}}, False),
        ("custom role", {"name": "projects/p/roles/axion_dev_stop", "deleted": True}, False),
        ("custom role", {"name": "projects/p/roles/axion_dev_2_stop"}, False),
        ("role grant", {"member": "serviceAccount:axion-dev-main@p.iam.gserviceaccount.com", "role": "r"}, True),
        ("role grant", {"member": "deleted:serviceAccount:axion-dev-main@p.iam.gserviceaccount.com?uid=1"}, True),
        ("role grant", {"member": "serviceAccount:other@p.iam.gserviceaccount.com"}, False),
    ],
)
def test_whose_a_thing_is(what: str, item: dict[str, Any], is_ours: bool) -> None:
    assert belongs(kind(what), item, "dev", ["dev-2"]) is is_ours


def test_another_stack_is_known_by_its_network_too(gcloud: ReplayedGcloud) -> None:
    networks = [{"name": "axion-dev-vpc"}, {"name": "axion-dev-eu-vpc"}]
    rules = [{"name": "axion-dev-allow-iap-ssh"}, {"name": "axion-dev-eu-allow-iap-ssh"}]
    gcloud.answers(says("networks list", networks), says("firewall-rules list", rules))
    assert [each.name for each in taken().found] == ["axion-dev-allow-iap-ssh", "axion-dev-vpc"]


def test_a_kind_whose_api_is_off_is_told_apart_from_an_empty_one(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(refuses("secrets list", "ERROR: SERVICE_DISABLED secretmanager.googleapis.com"))
    census = taken()
    assert (census.is_empty, census.switched_off) == (True, ("secret",))


def test_half_a_census_is_none(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(
        refuses("compute disks list", "ERROR: (gcloud.compute.disks.list) Required 'compute.disks.list' permission"),
        # gcloud's own exit status is 0 then, and what it prints is empty.
        refuses("instances list", "WARNING: Some requests did not succeed.\n - Internal error: timed out\n", status=0),
    )
    with pytest.raises(DeployError) as caught:
        taken()
    assert caught.value.problems == (
        "list instances: Google did not answer, got Internal error: timed out. Check the network and run the same "
        "command again: it goes on where it stopped.",
        "list disks: the account may not do this, got Required 'compute.disks.list' permission. Have an owner of the "
        "project grant compute.disks.list to the account of `gcloud config get account`.",
    )
