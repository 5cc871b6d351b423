"""What an organisation brings along: which settings do not go together, and what is said to be needed instead."""

from pathlib import Path
from typing import Any

import pytest

from deployment.refusals.cloud_errors import Kind, classify
from deployment.stack.organisation import brought_along
from tests.support.deployments import document, write_models
from tests.unit.deployment.stack.test_guardrails import AT, checked, problems

SUBNET = "projects/corp-network/regions/us-central1/subnetworks/serving"
KEY = "projects/corp-keys/locations/us-central1/keyRings/ring/cryptoKeys/disks"
ACCOUNT = "serving@corp-accounts.iam.gserviceaccount.com"


def key_in(location: str) -> str:
    return f"projects/corp-keys/locations/{location}/keyRings/ring/cryptoKeys/disks"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"axion__network": {"subnetwork": SUBNET, "cidr": "10.20.0.0/24", "flowLogs": False}},
            [
                f"config.axion:network.cidr: the subnet exists and is not changed, got {SUBNET}. Take cidr out.",
                f"config.axion:network.flowLogs: the subnet exists and is not changed, got {SUBNET}. "
                "Take flowLogs out.",
            ],
        ),
        (
            {"axion__network": {"subnetwork": SUBNET.replace("us-central1", "us-east1")}},
            [
                "config.axion:network.subnetwork: in another region than the stack, got us-east1. "
                "Name one of us-central1."
            ],
        ),
        (
            {"axion__network": {"subnetwork": SUBNET, "vpc": "corp"}},
            [
                "config.axion:network.vpc: the subnet's VPC is corp-network's, whose owner opens its firewall, "
                "got corp. Take vpc out."
            ],
        ),
        (
            {"axion__network": {"vpc": "corp"}},
            [
                "config.axion:network.vpc: of no use without a subnet in it, got corp. Name it in subnetwork, too."
            ],
        ),
        (
            {"axion__kmsKey": key_in("global")},
            [
                "config.axion:kmsKey: a key encrypts only what lies where it lies, got global. "
                "Give a key of us-central1, the stack's region."
            ],
        ),
        (
            {"axion__kmsKey": KEY, "axion__secretRegions": ["us-central1", "us-east1"]},
            [
                "config.axion:secretRegions: the key encrypts secrets in us-central1 only, got us-central1 and "
                "us-east1. Take it out, or give [us-central1]."
            ],
        ),
        (
            {"axion__stopRole": "projects/another/roles/stopper"},
            [
                "config.axion:stopRole: a project's role cannot be granted in another project, got "
                "projects/another/roles/stopper. Make it in a-project, or in the organisation."
            ],
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], said: list[str], tmp_path: Path) -> None:
    found = [line.removeprefix(f"{AT}:").partition(" ")[2] for line in problems(tmp_path, **changes)]
    assert found == said


@pytest.mark.parametrize(
    ("changes", "host", "part"),
    [
        ({"axion__network": {"subnetwork": "Serving"}}, {}, "axion:network.subnetwork"),
        ({"axion__network": {"subnetwork": "regions/r/subnetworks/serving"}}, {}, "axion:network.subnetwork"),
        ({"axion__network": {"subnetwork": SUBNET, "vpc": "projects/p/global/networks/n"}}, {}, "axion:network.vpc"),
        ({"axion__kmsKey": "ring/disks"}, {}, "axion:kmsKey"),
        ({"axion__kmsKey": f"{KEY}/cryptoKeyVersions/1"}, {}, "axion:kmsKey"),
        ({"axion__secretRegions": ["europe"]}, {}, "axion:secretRegions[0]"),
        ({"axion__secretRegions": "europe-west4"}, {}, "axion:secretRegions"),
        ({"axion__stopRole": "roles/compute.admin"}, {}, "axion:stopRole"),
        ({"axion__secureBoot": "sometimes"}, {}, "axion:secureBoot"),
        ({}, {"serviceAccount": "123456789012-compute@developer.gserviceaccount.com"}, "hosts.main.serviceAccount"),
        ({}, {"serviceAccount": "me@example.com"}, "hosts.main.serviceAccount"),
    ],
)
def test_a_name_of_the_wrong_form_is_told_by_its_place(
    changes: dict[str, Any], host: dict[str, Any], part: str, tmp_path: Path
) -> None:
    (found,) = problems(tmp_path, host=host, **changes)
    assert f"{part}: " in found
    assert ". Give " in found


@pytest.mark.parametrize(
    ("changes", "subnetwork"),
    [
        ({"axion__network": {"subnetwork": SUBNET}}, SUBNET),
        # A name alone is one of the stack's own project and region.
        ({"axion__network": {"subnetwork": "mine"}}, "projects/a-project/regions/us-central1/subnetworks/mine"),
        ({"axion__network": {"subnetwork": "projects/example.com:corp-network/regions/us-central1/subnetworks/x"}},
         "projects/example.com:corp-network/regions/us-central1/subnetworks/x"),
        ({}, None),
    ],
)  # fmt: skip
def test_a_subnet_is_known_by_its_full_name(changes: dict[str, Any], subnetwork: str | None, tmp_path: Path) -> None:
    assert checked(tmp_path, **changes).settings.subnetwork == subnetwork


def test_what_is_not_made_is_told_with_what_its_owner_must_see_to(tmp_path: Path) -> None:
    heard = document()
    heard["gateway"] = {**heard.get("gateway", {}), "listen": ["0.0.0.0:8080"]}
    write_models(tmp_path / "models.yaml", heard)
    network = {"subnetwork": SUBNET, "gatewayCidrs": ["10.0.0.0/8"]}
    host = {"serviceAccount": ACCOUNT, "publicIp": {"allowCidrs": ["203.0.113.0/28"]}}
    keys = {"secure": "v1:sealed"}
    stack = checked(
        tmp_path, host=host, axion__network=network, axion__kmsKey=KEY, axion__bucket=True, axion__gatewayApiKeys=keys
    )
    assert list(brought_along(stack.settings, "test", stack.gateway_ports)) == [
        f"axion:network: no VPC, subnet, router, NAT, firewall or flow log is made. {SUBNET} must have private Google "
        "access and a way out, such as Cloud NAT, and whoever runs `pulumi up` roles/compute.networkUser on it.",
        "axion:network: the subnet's firewall must let in tcp:22 from 35.235.240.0/20 to tag axion-test-host; "
        "tcp:8080 from 10.0.0.0/8 to tag axion-test-host; tcp:8080 from 203.0.113.0/28 to tag axion-test-host-main.",
        f"axion:hosts main serviceAccount: no account is made and nothing is granted to it. {ACCOUNT} needs "
        "roles/logging.logWriter and roles/monitoring.metricWriter on a-project; roles/secretmanager.secretAccessor on "
        "axion-test-gateway-api-keys; roles/storage.objectViewer on gs://axion-test-a-project; compute.instances.stop "
        "on the instance axion-test-main. Whoever runs `pulumi up` needs roles/iam.serviceAccountUser on it.",
        f"axion:kmsKey: roles/cloudkms.cryptoKeyEncrypterDecrypter on {KEY} is not granted here. Its owner grants it "
        "to service-NUMBER@compute-system.iam.gserviceaccount.com (disks), "
        "service-NUMBER@gcp-sa-secretmanager.iam.gserviceaccount.com (secrets) and "
        "service-NUMBER@gs-project-accounts.iam.gserviceaccount.com (the bucket), where NUMBER is that of a-project.",
    ]


@pytest.mark.parametrize(
    ("line", "step"),
    [
        (
            f"Error 400: The user does not have access to service account '{ACCOUNT}'.  User: 'me@example.com'.  Ask a "
            "project owner to grant you the iam.serviceAccountUser role on the service account, "
            "SERVICE_ACCOUNT_ACCESS_DENIED",
            "Check the account's address, and have its owner grant roles/iam.serviceAccountUser on it",
        ),
        (
            f"Error 403: Required 'compute.subnetworks.use' permission for '{SUBNET}', forbidden",
            "Have the subnet's owner grant roles/compute.networkUser on it",
        ),
        (
            f"Error 400: Invalid value for field 'resource.networkInterfaces[0].subnetwork': '{SUBNET}'. "
            "Cross-project references for this resource are not allowed., invalid",
            "Have the owner of the subnet's project attach this project to its Shared VPC.",
        ),
    ],
)
def test_a_refusal_that_another_owner_must_lift_says_which(line: str, step: str) -> None:
    """The caller's own project could grant the caller anything, and nothing would change."""
    found = classify(f"Error creating Instance: googleapi: {line}")
    assert (found.kind, found.next_step[: len(step)]) == (Kind.PERMISSION, step)


def test_a_stack_that_makes_everything_itself_has_nothing_to_say(tmp_path: Path) -> None:
    stack = checked(tmp_path)
    assert list(brought_along(stack.settings, "test", ())) == []
