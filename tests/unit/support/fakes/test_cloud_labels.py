"""The stand-in takes and refuses labels as Google's documents say, in each API that has them."""

from typing import Any

import pytest

from tests.support.cloud_calls import ZONE, booted, disk, done, get, instance, network, post, refusal
from tests.support.fakes.cloud.server import Cloud

SECRETS = "/v1/projects/axion-test/secrets?secretId=s"
BUCKETS = "/storage/v1/b?project=axion-test"
POLICIES = "/v3/projects/axion-test/notificationChannels"
AUTOMATIC: dict[str, Any] = {"replication": {"automatic": {}}}
CHANNEL: dict[str, Any] = {"type": "email", "labels": {"email_address": "Me@example.com"}}
LENGTH = "can be at most 63 characters long. International characters are allowed."
ONLY = "contain only lowercase letters, numeric characters, underscores and dashes."
MANY = {f"label-{number}": "" for number in range(65)}
BAD: dict[str, tuple[dict[str, str], str]] = {
    "capitals in a value": (
        {"team": "Serving"},
        f"Label value 'Serving' violates format constraints. The value can only {ONLY} The value {LENGTH}",
    ),
    "a key that begins with a digit": (
        {"2nd": "x"},
        f"Label key '2nd' violates format constraints. The key must start with a lowercase character, can only {ONLY} "
        f"The key {LENGTH}",
    ),
    "a long value": (
        {"team": "x" * 64},
        f"Label value '{'x' * 64}' violates format constraints. The value can only {ONLY} The value {LENGTH}",
    ),
    "65 of them": (MANY, "There can be at most 64 labels, got 65."),
}


@pytest.mark.parametrize("what", BAD)
def test_labels_that_google_refuses_are_refused_by_every_api(cloud: Cloud, what: str) -> None:
    labels, message = BAD[what]
    refused = refusal(post(cloud, f"{ZONE}/disks", disk(labels=labels)))
    assert refused == (400, "invalid", f"Invalid value for field 'resource.labels': ''. {message}")
    for path, body in ((SECRETS, AUTOMATIC), (BUCKETS, {"name": "b-b-b"})):
        assert refusal(post(cloud, path, {**body, "labels": labels}))[2] == message
    assert refusal(post(cloud, POLICIES, {**CHANNEL, "userLabels": labels}))[2] == message
    network(cloud)
    boot = instance()["disks"][0]
    boot["initializeParams"] = {**boot["initializeParams"], "labels": labels}
    assert refusal(post(cloud, f"{ZONE}/instances", instance(disks=[boot])))[0] == 400


@pytest.mark.parametrize(
    "labels",
    [
        {"team": ""},
        {"a" * 63: "x" * 63},
        {"équipe": "été-1"},
        {"goog-pulumi-provisioned": "true"},
        dict(list(MANY.items())[:64]),
    ],
    ids=["empty", "longest", "another script", "of Google's provider", "64"],
)
def test_labels_that_google_takes_are_taken(cloud: Cloud, labels: dict[str, str]) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk(labels=labels))
    done(cloud, "POST", SECRETS, {**AUTOMATIC, "labels": labels})
    assert get(cloud, f"{ZONE}/disks/data")["labels"] == labels


def test_a_channels_labels_are_no_labels_and_a_later_change_is_judged_too(cloud: Cloud) -> None:
    done(cloud, "POST", POLICIES, CHANNEL)
    booted(cloud)
    body = {"labels": {"team": "Serving"}, "labelFingerprint": get(cloud, f"{ZONE}/instances/vm")["labelFingerprint"]}
    assert "Label value 'Serving'" in refusal(post(cloud, f"{ZONE}/instances/vm/setLabels", body))[2]
