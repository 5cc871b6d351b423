"""What Google's discovery documents refuse, the cloud refuses; and they judge the cloud's own answers too."""

import http.client
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.cloud_calls import (
    ARM_IMAGE,
    BALANCED,
    COMPUTE,
    REGION,
    ZONE,
    booted,
    disk,
    done,
    get,
    instance,
    network,
    post,
    refusal,
)
from tests.support.fakes.cloud import documents
from tests.support.fakes.cloud.answers import ANSWERS
from tests.support.fakes.cloud.server import Cloud

NAME_RULE = "Must be a match of regex '[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?'"
PLANTED: dict[str, tuple[dict[str, Any], str]] = {
    "nicType in the wrong case": (
        {"networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/sub", "nicType": "gvnic"}]},
        "Invalid value at 'resource.network_interfaces[0].nic_type' "
        '(type.googleapis.com/google.cloud.compute.NetworkInterface.NicType), "gvnic"',
    ),
    "a bad name": ({"name": "Axion_Host"}, f"Invalid value for field 'resource.name': 'Axion_Host'. {NAME_RULE}"),
    "an unknown field": (
        {"disks": [{"boot": True, "initializeParams": {"sourceImage": ARM_IMAGE, "imagee": "x"}}]},
        "Invalid JSON payload received. Unknown name \"imagee\" at 'resource.disks[0].initialize_params': "
        "Cannot find field.",
    ),
    "a bad provisioning model": (
        {"scheduling": {"provisioningModel": "spot"}},
        "Invalid value at 'resource.scheduling.provisioning_model' "
        '(type.googleapis.com/google.cloud.compute.Scheduling.ProvisioningModel), "spot"',
    ),
    "a number where digits belong": (
        {"scheduling": {"maxRunDuration": {"seconds": 3600}, "instanceTerminationAction": "STOP"}},
        "Invalid value at 'resource.scheduling.max_run_duration.seconds' (TYPE_INT64), 3600",
    ),
    "digits that are none": (
        {"disks": [{"boot": True, "initializeParams": {"diskSizeGb": "20GB", "diskType": BALANCED}}]},
        "Invalid value at 'resource.disks[0].initialize_params.disk_size_gb' (TYPE_INT64), \"20GB\"",
    ),
    "text where truth belongs": (
        {"canIpForward": "yes"},
        "Invalid value at 'resource.can_ip_forward' (TYPE_BOOLEAN), \"yes\"",
    ),
    "an output-only field": (
        {"cpuPlatform": "Google Axion"},
        "Invalid value for field 'resource.cpuPlatform': 'Google Axion'. The field is output only.",
    ),
    "an object where a list belongs": (
        {"tags": {"items": "axion"}},
        "Invalid value at 'resource.tags.items' (TYPE_ARRAY), \"axion\"",
    ),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_refused_in_googles_words(cloud: Cloud, mistake: str) -> None:
    network(cloud)
    changes, message = PLANTED[mistake]
    assert refusal(post(cloud, f"{ZONE}/instances", instance(**changes))) == (400, "invalid", message)
    assert not [path for path in cloud.state.resources if "/instances/" in path]


def test_all_mistakes_of_a_request_are_named_at_once(cloud: Cloud) -> None:
    body = disk("Data", sizeGb=50, colour="red")
    _, _, message = refusal(post(cloud, f"{ZONE}/disks", body))
    assert message.splitlines() == [
        f"Invalid value for field 'resource.name': 'Data'. {NAME_RULE}",
        "Invalid value at 'resource.size_gb' (TYPE_INT64), 50",
        "Invalid JSON payload received. Unknown name \"colour\" at 'resource': Cannot find field.",
    ]


def test_a_required_field_is_missed(cloud: Cloud) -> None:
    _, _, message = refusal(post(cloud, f"{ZONE}/disks", {"sizeGb": "50"}))
    assert message == "Invalid value for field 'resource.name': ''. Required field is missing."


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            f"{ZONE}/disks?colour=red",
            'Invalid JSON payload received. Unknown name "colour": Cannot bind query parameter.',
        ),
        (f"{ZONE}/disks?maxResults=all", "Invalid value for field 'maxResults': 'all'. Must be an integer"),
        (f"{COMPUTE}/zones/US/disks", "Invalid value for field 'zone': 'US'. Must be a match of regex"),
    ],
)
def test_paths_and_queries_are_judged_too(cloud: Cloud, target: str, message: str) -> None:
    assert refusal(cloud.answer("GET", target, {}))[2].startswith(message)


def test_what_is_not_offered_is_not_found(cloud: Cloud) -> None:
    assert refusal(cloud.answer("GET", f"{COMPUTE}/global/healthChecks", {}))[0] == 404


def test_every_offered_method_is_answered_and_no_other() -> None:
    assert set(ANSWERS) == set(documents.methods())


def test_the_documents_carry_their_revision_and_stay_small() -> None:
    found = sorted(documents.DISCOVERY.glob("*.json"))
    assert all(re.fullmatch(r"20\d{6}", json.loads(path.read_text())["revision"]) for path in found)
    assert sum(path.stat().st_size for path in found) < 256 * 1024


def test_an_answer_of_ours_that_google_would_not_give_is_our_bug(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "compute.zones.get", lambda call: {"name": "us-central1-a", "colour": "red"})
    with pytest.raises(AssertionError, match='Unknown name "colour"'):
        cloud.answer("GET", f"{COMPUTE}/zones/us-central1-a", {})


def test_numbers_of_operations_are_uint64_in_digits(cloud: Cloud) -> None:
    status, operation = post(cloud, f"{COMPUTE}/global/networks", {"name": "net", "autoCreateSubnetworks": False})
    assert (status, operation["kind"], operation["status"]) == (200, "compute#operation", "RUNNING")
    assert re.fullmatch(r"\d{19}", operation["id"])
    assert 2**62 < int(operation["id"]) < 2**64


def test_the_server_speaks_googles_errors_over_http(cloud: Cloud) -> None:
    address = urlsplit(cloud.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.request("GET", f"{ZONE}/disks/nothing")
    answer = connection.getresponse()
    assert answer.status == 404
    message = "The resource 'projects/axion-test/zones/us-central1-a/disks/nothing' was not found"
    assert json.loads(answer.read())["error"] == {
        "code": 404,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": "notFound"}],
        "status": "NOT_FOUND",
    }
    connection.close()


def test_what_was_inserted_comes_back_as_google_shows_it(cloud: Cloud) -> None:
    booted(cloud, labels={"axion-stack": "dev"})
    found = get(cloud, f"{ZONE}/instances/vm")
    base = "https://www.googleapis.com/compute/v1/projects/axion-test"
    assert found["status"] == "RUNNING"
    assert found["machineType"] == f"{base}/zones/us-central1-a/machineTypes/c4a-standard-8"
    assert [one["deviceName"] for one in found["disks"]] == ["persistent-disk-0", "data"]
    assert found["networkInterfaces"][0]["networkIP"] == "10.0.0.2"
    assert found["networkInterfaces"][0]["network"] == f"{base}/global/networks/net"
    data = get(cloud, f"{ZONE}/disks/data")
    assert data["users"] == [f"{base}/zones/us-central1-a/instances/vm"]
    assert (data["provisionedIops"], data["provisionedThroughput"]) == ("3000", "140")


def test_lists_are_filtered_and_aggregated(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk("mine", labels={"axion-stack": "dev"}))
    done(cloud, "POST", f"{COMPUTE}/zones/us-central1-b/disks", disk("other", type="hyperdisk-balanced"))
    everything = get(cloud, f"{COMPUTE}/aggregated/disks")["items"]
    assert {scope: [one["name"] for one in found["disks"]] for scope, found in everything.items()} == {
        "zones/us-central1-a": ["mine"],
        "zones/us-central1-b": ["other"],
    }
    mine = get(cloud, f"{COMPUTE}/aggregated/disks?filter=labels.axion-stack%3Ddev")["items"]
    assert list(mine) == ["zones/us-central1-a"]
    assert get(cloud, f"{ZONE}/disks?filter=name%20eq%20%22.*%28%5Eaxion%29.*%22")["items"] == []


def test_subnets_must_not_overlap(cloud: Cloud) -> None:
    network(cloud)
    body = {"name": "two", "network": "global/networks/net", "ipCidrRange": "10.0.0.128/25"}
    message = "Invalid IPCidrRange: 10.0.0.128/25 conflicts with existing subnetwork 'sub' in region 'us-central1'."
    assert refusal(post(cloud, f"{REGION}/subnetworks", body)) == (400, "invalid", message)
