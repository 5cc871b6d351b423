"""Real gcloud believes the cloud: it lists, describes, reads guest attributes, stops, deletes, and reads refusals."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.cloud_calls import COMPUTE, ZONE, booted, disk, done
from tests.support.fakes.cloud.server import Cloud
from tests.support.gcloud_on_cloud import gcloud_environment, need_gcloud

ALLOWED = {"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]}
HERE = "--zone=us-central1-a"


@pytest.fixture
def gcloud_folder(tmp_path: Path) -> Path:
    need_gcloud()
    return tmp_path


def gcloud(cloud: Cloud, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **gcloud_environment(cloud, folder), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    return subprocess.run(["gcloud", *words], env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_gcloud_lists_describes_reads_keys_stops_and_deletes(cloud: Cloud, gcloud_folder: Path) -> None:
    booted(cloud, labels={"axion-stack": "dev"}, metadata=ALLOWED)
    listed = gcloud(
        cloud, gcloud_folder, "compute", "instances", "list", "--filter=labels.axion-stack=dev", "--format=json"
    )
    assert listed.stderr == ""
    assert [(one["name"], one["status"]) for one in json.loads(listed.stdout)] == [("vm", "RUNNING")]
    keys = gcloud(
        cloud, gcloud_folder,
        *("compute", "instances", "get-guest-attributes", "vm", HERE, "--query-path=hostkeys/", "--format=json"),
    )  # fmt: skip
    assert [one["key"] for one in json.loads(keys.stdout)] == ["ssh-ed25519"]
    stopped = gcloud(cloud, gcloud_folder, "compute", "instances", "stop", "vm", HERE)
    assert stopped.returncode == 0, stopped.stderr
    described = gcloud(cloud, gcloud_folder, "compute", "instances", "describe", "vm", HERE, "--format=value(status)")
    assert described.stdout.strip() == "TERMINATED"
    refused = gcloud(cloud, gcloud_folder, "compute", "disks", "delete", "data", HERE)
    assert refused.returncode == 1
    assert "is already being used by 'projects/axion-test/zones/us-central1-a/instances/vm'" in refused.stderr
    assert gcloud(cloud, gcloud_folder, "compute", "instances", "delete", "vm", HERE).returncode == 0
    assert not [path for path in cloud.state.resources if "/instances/" in path]


def test_gcloud_lists_by_name_and_reads_the_other_apis(cloud: Cloud, gcloud_folder: Path) -> None:
    network = {"autoCreateSubnetworks": False}
    for name in ("axion-dev-net", "other-net"):
        done(cloud, "POST", f"{COMPUTE}/global/networks", {"name": name, **network})
    done(cloud, "POST", "/v1/projects/axion-test/secrets?secretId=axion-dev-keys", {"replication": {"automatic": {}}})
    listed = gcloud(
        cloud, gcloud_folder, "compute", "networks", "list", "--filter=name~^axion-dev-", "--format=value(name)"
    )
    assert listed.stdout.split() == ["axion-dev-net"]
    secrets = gcloud(cloud, gcloud_folder, "secrets", "list", "--format=value(name)")
    assert secrets.stdout.split() == ["axion-dev-keys"]


def test_gcloud_moves_what_is_on_a_disk_to_another_zone(cloud: Cloud, gcloud_folder: Path) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk())
    cloud.state.write("projects/axion-test/zones/us-central1-a/disks/data", "weights")

    def ran(*words: str) -> str:
        answered = gcloud(cloud, gcloud_folder, "compute", *words)
        assert answered.returncode == 0, answered.stderr
        return answered.stdout.strip()

    source = ("--source-disk=data", "--source-disk-zone=us-central1-a")
    ran("snapshots", "create", "axion-move", *source, "--labels=axion-stack=dev")
    listed = ran("snapshots", "list", "--filter=labels.axion-stack=dev", "--format=value(name,status,diskSizeGb)")
    assert listed.split() == ["axion-move", "READY", "50"]
    ran(
        *("disks", "create", "data", "--zone=us-central1-b", "--source-snapshot=axion-move", "--size=60"),
        *("--type=hyperdisk-balanced", "--provisioned-iops=4000", "--provisioned-throughput=200"),
        "--labels=axion-stack=dev",
    )
    moved = json.loads(ran("disks", "describe", "data", "--zone=us-central1-b", "--format=json"))
    wanted = ("sizeGb", "provisionedIops", "provisionedThroughput", "labels")
    assert [moved[key] for key in wanted] == ["60", "4000", "200", {"axion-stack": "dev"}]
    assert cloud.state.written("projects/axion-test/zones/us-central1-b/disks/data") == "weights"
    ran("disks", "delete", "data", HERE)
    ran("snapshots", "delete", "axion-move")
    assert list(cloud.state.contents.values()) == ["weights"]


def test_gcloud_is_asked_what_becomes_of_local_ssds(cloud: Cloud, gcloud_folder: Path) -> None:
    booted(cloud, machine="c4a-standard-8-lssd")
    refused = gcloud(cloud, gcloud_folder, "compute", "instances", "stop", "vm", HERE)
    assert refused.returncode == 1
    assert "undefined value for `discard-local-ssd`" in refused.stderr
    stopped = gcloud(cloud, gcloud_folder, "compute", "instances", "stop", "vm", HERE, "--discard-local-ssd=true")
    assert stopped.returncode == 0, stopped.stderr
