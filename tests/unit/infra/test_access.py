"""Who may do what, where secrets go, and what a stack tells: seen through Pulumi's mocks."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from deployment.stack.inventory import GoogleHost, inventory_from
from tests.support.example_stacks import KEYS, TOKEN, recorded
from tests.support.pulumi_program import Recording, config_of, run_program

# How a value that the engine must encrypt is marked in Pulumi's protocol.
MARK, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


@pytest.fixture
def prod() -> Recording:
    return recorded("prod")


@pytest.fixture
def dev() -> Recording:
    return recorded("dev")


@pytest.fixture
def full() -> Recording:
    return recorded("full")


def test_a_host_may_do_five_things(full: Recording) -> None:
    """Logs, metrics, its secrets, its bucket, stopping itself; each host by its own account."""

    def roles(kind: str, host: str) -> list[tuple[str, str]]:
        member = f"serviceAccount:identity-{host}-account@cloud"
        mine = [each.inputs for each in full.of_type(kind) if each.inputs["member"] == member]
        return sorted((each["role"], str(_object(each))) for each in mine)

    for host in ("alpha", "beta"):
        assert roles("IAMMember", host) == [
            ("roles/logging.logWriter", "example-axion-prod"), ("roles/monitoring.metricWriter", "example-axion-prod"),
        ]  # fmt: skip
        assert roles("SecretIamMember", host) == [
            ("roles/secretmanager.secretAccessor", "projects/the-project/secrets/axion-full-gateway-api-keys"),
            ("roles/secretmanager.secretAccessor", "projects/the-project/secrets/axion-full-hub-token"),
        ]
        assert roles("BucketIAMMember", host) == [("roles/storage.objectViewer", "axion-full-example-axion-prod")]
        assert roles("InstanceIAMMember", host) == [(f"made-identity-{host}-stop-role", f"axion-full-{host}")]
        role = full.named(f"identity-{host}-stop-role").inputs
        # The number is the account's: another life of the stack has another, and so another role.
        assert (role["permissions"], role["roleId"]) == (["compute.instances.stop"], f"axion_full_stop_{host}_1047")


def test_a_role_that_exists_is_granted_instead_of_one_that_is_made() -> None:
    role = "organizations/12345/roles/stopper"
    given = run_program({**config_of("prod"), "axion:stopRole": role})
    assert given.of_type("IAMCustomRole") == []
    assert given.one("InstanceIAMMember").inputs["role"] == role
    assert len(given.of_type("Account")) == 1


def test_an_account_that_exists_gets_nothing_here() -> None:
    config = config_of("prod")
    account = "serving@corp-accounts.iam.gserviceaccount.com"
    config["axion:hosts"] = {"main": {**config["axion:hosts"]["main"], "serviceAccount": account}}
    given = run_program(config)
    assert given.one("Instance").inputs["serviceAccount"]["email"] == account
    made = {each.type.rpartition(":")[2] for each in given.resources}
    assert made.isdisjoint({"Account", "IAMMember", "IAMCustomRole", "InstanceIAMMember", "SecretIamMember"})


def _object(inputs: Mapping[str, Any]) -> Any:
    return next(inputs[key] for key in ("secretId", "bucket", "instanceName", "project") if key in inputs)


def test_a_secret_goes_into_its_version_and_nowhere_else(full: Recording) -> None:
    values = {each.name: each.inputs["secretData"] for each in full.of_type("SecretVersion")}
    assert values == {
        "secrets-gateway-api-keys-version": {MARK: SECRET, "value": KEYS},
        "secrets-hub-token-version": {MARK: SECRET, "value": TOKEN},
    }
    others = [each for each in full.resources if not each.type.endswith(":SecretVersion")]
    assert not [each.name for each in others if KEYS in repr(each) or TOKEN in repr(each)]
    assert KEYS not in json.dumps(full.outputs)


def test_keys_may_come_later_and_a_token_is_not_needed(prod: Recording) -> None:
    assert [each.inputs["secretId"] for each in prod.of_type("Secret")] == ["axion-prod-gateway-api-keys"]
    assert prod.of_type("SecretVersion") == []
    assert prod.outputs["next"][0] == "fab doctor --stack prod"
    assert prod.outputs["inventory"]["hosts"]["main"].keys() & {"gateway_clients", "gateway_keys"} == set()


def test_the_inventory_is_what_its_definition_says(full: Recording) -> None:
    read = inventory_from(full.outputs["inventory"])
    assert read.as_data() == full.outputs["inventory"]
    assert list(read.hosts) == ["alpha", "beta"]
    alpha, beta = read.hosts["alpha"], read.hosts["beta"]
    assert isinstance(alpha, GoogleHost)
    assert isinstance(beta, GoogleHost)
    assert beta.zone == "us-central1-b"
    assert (alpha.instance_id, alpha.internal_ip, alpha.external_ip) == ("4711", "10.20.0.2", None)
    assert read.google is not None
    assert read.google.secret_ids.hub_token == "projects/the-project/secrets/axion-full-hub-token"
    assert read.google.bucket == "axion-full-example-axion-prod"


def test_prices_are_outputs(prod: Recording, dev: Recording, full: Recording) -> None:
    assert (prod.outputs["hourlyUsd"], prod.outputs["monthlyUsd"]["total"]) == (1.4784, 1079.26)
    assert (dev.outputs["hourlyUsd"], dev.outputs["monthlyUsd"]["total"]) == (0.1713, 125.06)
    # 1.4368 and, on spot, 32 x 0.01387 + 128 x 0.001578 an hour; four disks of 50 and 200 GiB at 0.08 a month.
    assert (full.outputs["hourlyUsd"], full.outputs["monthlyUsd"]["total"]) == (2.1374, 1560.32)


def test_alerts_go_to_one_address_and_do_not_mourn_hosts_that_may_stop(full: Recording) -> None:
    assert full.one("NotificationChannel").inputs["labels"] == {"email_address": "me@example.com"}
    policies = {each.inputs["displayName"]: each.inputs for each in full.of_type("AlertPolicy")}
    # alpha should always be there; beta is a spot machine.
    assert sorted(policies) == [
        "axion-full-disk-full", "axion-full-down-alpha", "axion-full-idle", "axion-full-memory-pressure",
    ]  # fmt: skip
    for policy in policies.values():
        (condition,) = policy["conditions"]
        assert condition["conditionPrometheusQueryLanguage"]["disableMetricValidation"] is True
        query = condition["conditionPrometheusQueryLanguage"]["query"]
        assert 'stack="full"' in query or 'instance_name="axion-full-alpha"' in query


def test_a_budget_counts_what_carries_the_label(full: Recording) -> None:
    budget = full.one("Budget").inputs
    assert budget["budgetFilter"]["labels"] == {"axion-stack": "full"}
    assert budget["amount"] == {"specifiedAmount": {"units": "900"}}
    assert [each["thresholdPercent"] for each in budget["thresholdRules"]] == [0.5, 0.9, 1.0]
