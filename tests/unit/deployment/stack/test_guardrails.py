"""Each mistake that the cloud would refuse, or the bill would show, is found before anything is created."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.errors import ConfigError
from deployment.stack.file import read_file
from deployment.stack.guardrails import CheckedStack, check
from tests.support.deployments import document, model, write_models

REPOSITORY = Path(__file__).parents[4]
AT = "Pulumi.test.yaml"
WITH_KEYS: dict[str, Any] = {"axion__gatewayApiKeys": {"secure": "v1:AAAA"}}


def checked(directory: Path, stack: str = "test", host: dict[str, Any] | None = None, **changes: Any) -> CheckedStack:
    """A stack of one host that is right but for what a test changes."""
    if not (directory / "models.yaml").exists():
        write_models(directory / "models.yaml", document())
    main = {"machineType": "c4a-standard-8", **(host or {})}
    config = {
        "gcp:project": "a-project",
        "gcp:zone": "us-central1-a",
        "axion:maxHourlyUsd": 2,
        "axion:hosts": {"main": main},
        **{key.replace("__", ":", 1): value for key, value in changes.items()},
    }
    (directory / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}, sort_keys=False))
    return check(read_file(stack, directory), directory)


def problems(directory: Path, stack: str = "test", host: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        checked(directory, stack, host, **changes)
    return list(caught.value.problems)


def test_the_examples_pass_and_cost_what_the_table_says() -> None:
    """By hand. prod: 1.4368 x 730 + 50 GiB and 200 GiB at 0.08 + 260 MiB/s at 0.04."""
    prod = check(read_file("prod", REPOSITORY), REPOSITORY)
    assert prod.bill.monthly_usd == pytest.approx(1048.864 + 4 + 16 + 10.4)
    dev = check(read_file("dev", REPOSITORY), REPOSITORY)
    assert dev.bill.monthly_usd == pytest.approx((8 * 0.01387 + 32 * 0.001578) * 730 + 90 * 0.08)
    assert prod.gateway_ports == dev.gateway_ports == ()


def test_disks_are_asked_for_with_the_performance_that_was_priced(tmp_path: Path) -> None:
    host = checked(tmp_path, host={"dataDiskThroughput": 300}).hosts["main"]
    assert (host.boot_disk.iops, host.boot_disk.throughput_mib_s) == (3000, 140)
    assert (host.data_disk.iops, host.data_disk.throughput_mib_s) == (3000, 300)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ({"machineType": "n2-standard-8"}, 'machineType: not an Axion machine, got "n2-standard-8". Use a c4a'),
        ({"machineType": "c4a-standard-6-lssd"}, 'machineType: no such c4a machine, got "c4a-standard-6-lssd".'),
        ({"machineType": "c4a-highcpu-8-lssd"}, 'machineType: no such c4a machine, got "c4a-highcpu-8-lssd".'),
        ({"image": "projects/debian-cloud/global/images/family/debian-12"}, "image: not built for arm64"),
        ({"image": "projects/mine/global/images/golden-amd64"}, "image: not built for arm64"),
        ({"image": "ubuntu-os-cloud/ubuntu-2404-lts"}, "image: not built for arm64"),
        ({"image": "debian-cloud/debian-11-arm64"}, "image: not a system that engines run on, which are Ubuntu 24.04"),
        ({"image": "ubuntu-2204-lts-arm64"}, "image: not a system that engines run on, which are Ubuntu"),
        ({"dataDiskType": "pd-balanced"}, "dataDiskType: c4a has no Persistent Disk, got pd-balanced. Use hyperdisk-"),
        ({"bootDiskType": "pd-ssd"}, "bootDiskType: c4a has no Persistent Disk, got pd-ssd."),
        ({"dataDiskType": "hyperdisk-extreme"}, "dataDiskType: needs 64 vCPUs, got hyperdisk-extreme on c4a-st"),
        ({"bootDiskType": "hyperdisk-ml"}, "bootDiskType: cannot be booted from, got hyperdisk-ml."),
        ({"dataDiskGib": 3}, "dataDiskGib: hyperdisk-balanced has 4 to 65536 GiB, got 3."),
        ({"dataDiskIops": 200_000}, "dataDiskIops: hyperdisk-balanced takes 3000 to 100000 IOPS at 200 GiB, got 200"),
        ({"dataDiskThroughput": 800}, "dataDiskThroughput: hyperdisk-balanced takes 140 to 750 MiB/s at its"),
        ({"dataDiskType": "hyperdisk-ml", "dataDiskIops": 5000}, "dataDiskIops: hyperdisk-ml takes no IOPS"),
        ({"zone": "us-east1-b"}, "zone: outside us-central1, where the subnet is, got us-east1-b."),
    ],
)  # fmt: skip
def test_what_the_cloud_would_refuse_is_refused_here(tmp_path: Path, host: dict[str, Any], said: str) -> None:
    found = problems(tmp_path, host=host, axion__allowUnknown=True, axion__maxHourlyUsd=100)
    assert len(found) == 1, found
    line, _, rest = found[0].partition(" config.axion:hosts.main.")
    assert line.startswith(f"{AT}:")
    assert rest.startswith(said)


def test_n4a_takes_fewer_disk_types(tmp_path: Path) -> None:
    host = {"machineType": "n4a-standard-8", "dataDiskType": "hyperdisk-extreme"}
    (found,) = problems(tmp_path, host=host, axion__allowUnknown=True)
    assert "n4a does not take this disk type, got hyperdisk-extreme" in found
    assert checked(tmp_path, host={"machineType": "n4a-standard-8"}).hosts["main"].shape.memory_gib == 32


@pytest.mark.parametrize(
    "image", ["projects/mine/global/images/golden", "debian-cloud/debian-12-arm64", "my-image-aarch64"]
)
def test_images_of_ones_own_and_arm_images_pass(tmp_path: Path, image: str) -> None:
    assert checked(tmp_path, host={"image": image}).settings.hosts["main"].image == image


def test_models_that_do_not_fit_the_machine_are_refused(tmp_path: Path) -> None:
    for file in ("models.yaml", "models.lock.json"):
        (tmp_path / file).write_text((REPOSITORY / file).read_text())
    found = problems(tmp_path)
    assert [line.partition(": ")[2].split(",")[0] for line in found] == [
        "models: c4a-standard-8 has 8 cores", "models: c4a-standard-8 has 31.2 GiB of memory",
    ]  # fmt: skip
    assert checked(tmp_path, host={"machineType": "c4a-standard-32"}).deployments["main"].default_model == "phi4_fast"


def test_mistakes_of_the_models_file_come_with_the_others(tmp_path: Path) -> None:
    write_models(tmp_path / "models.yaml", document({"alpha": model(cores=0)}))
    found = problems(tmp_path, host={"dataDiskType": "pd-ssd"}, axion__maxHourlyUsd="much")
    assert len(found) == 3
    assert any(line.startswith("models.yaml:") and "models.alpha.cores: too small, got 0" in line for line in found)
    assert any("axion:maxHourlyUsd: not a number" in line for line in found)
    assert any("no Persistent Disk" in line for line in found)


def test_a_missing_models_file_is_a_problem(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, host={"models": "nowhere.yaml"})
    assert found.endswith("nowhere.yaml: not found. Name a models file, such as models.yaml.")


def test_a_stack_above_its_limit_is_refused_with_its_terms(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, axion__maxHourlyUsd=0.1)
    # 8 x 0.03086 + 32 x 0.00351 = 0.3592; 50 and 200 GiB at 0.08 a month.
    assert found == (
        f"{AT}:4 config.axion:maxHourlyUsd: the stack costs 0.3866 USD an hour (main: c4a-standard-8 on demand 0.3592, "
        "main: boot disk 50 GiB hyperdisk-balanced, 3000 IOPS, 140 MiB/s 0.0055, main: data disk 200 GiB "
        "hyperdisk-balanced, 3000 IOPS, 140 MiB/s 0.0219), got 0.1. Raise it, take a smaller machine, or set spot."
    )
    assert checked(tmp_path, host={"spot": True}, axion__maxHourlyUsd=0.2).bill.hourly_usd == pytest.approx(
        8 * 0.01387 + 32 * 0.001578 + 250 * 0.08 / 730
    )


def test_an_unknown_price_is_refused_unless_allowed(tmp_path: Path) -> None:
    host = {"machineType": "n4a-standard-8", "spot": True}
    (found,) = problems(tmp_path, host=host)
    assert "config.axion:allowUnknown: the catalog has no price in us-central1, got main: n4a-standard-8 spot" in found
    allowed = checked(tmp_path, host=host, axion__allowUnknown=True)
    assert allowed.bill.hourly_usd is None


def test_known_parts_of_an_unknown_price_still_count_against_the_limit(tmp_path: Path) -> None:
    host = {"machineType": "n4a-standard-8", "spot": True, "dataDiskGib": 60_000}
    (found,) = problems(tmp_path, host=host, axion__allowUnknown=True)
    assert "config.axion:maxHourlyUsd: the stack costs 6.5808 USD an hour" in found


def test_several_hosts_are_added_up(tmp_path: Path) -> None:
    hosts = {name: {"machineType": "c4a-standard-8"} for name in ("alpha", "beta", "gamma")}
    assert checked(tmp_path, axion__hosts=hosts).bill.hourly_usd == pytest.approx(3 * (0.3592 + 20 / 730))
    (found,) = problems(tmp_path, axion__hosts=hosts, axion__maxHourlyUsd=1)
    assert "the stack costs 1.1598 USD an hour" in found


def test_names_must_fit_into_a_service_account(tmp_path: Path) -> None:
    assert checked(tmp_path, "astackwithalongname").stack == "astackwithalongname"
    (found,) = problems(tmp_path, "astackwithalongname1")
    assert "axion-astackwithalongname1-main of 31 characters where Google takes 30" in found


def test_a_region_must_be_the_zones(tmp_path: Path) -> None:
    found = problems(tmp_path, gcp__region="us-east1")
    assert any("config.gcp:region: not the zone's, got us-east1 and us-central1-a" in line for line in found)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"cidr": "10.0.0.0/30"}, "cidr: too small for a subnet, got 10.0.0.0/30. Give /29 or wider."),
        ({"gatewayCidrs": ["10.1.0.0/16"]}, "gatewayCidrs: nobody could connect: the gateway listens on loopback only"),
    ],
)
def test_a_network_that_could_not_work_is_refused(tmp_path: Path, network: dict[str, Any], said: str) -> None:
    (found,) = problems(tmp_path, axion__network=network, **WITH_KEYS)
    assert f"config.axion:network.{said}" in found


def test_a_public_address_needs_somebody_to_listen(tmp_path: Path) -> None:
    public = {"publicIp": {"allowCidrs": ["203.0.113.0/28"]}}
    (found,) = problems(tmp_path, host=public, **WITH_KEYS)
    assert "nobody could connect: the gateway listens on loopback only, got 127.0.0.1:8080" in found
    listening = document(gateway={"listen": ["127.0.0.1:8080", "0.0.0.0:8443"]})
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(listening))
    assert checked(tmp_path, host=public, **WITH_KEYS).gateway_ports == ("8443",)


def test_a_public_address_without_a_list_is_refused(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, host={"publicIp": {}})
    assert "publicIp.allowCidrs: missing. Give the ranges that may connect" in found


WRONG_HOST = {"machineType": "c4a-standard-33", "dataDiskType": "pd-ssd", "image": "ubuntu-os-cloud/ubuntu-2404-lts"}


@pytest.mark.parametrize("place", [{"gcp__zone": "us-central1"}, {"gcp__zone": "us-central1-A"}, {"gcp__zone": 3}])
def test_a_wrong_zone_is_one_problem_and_hides_no_other(tmp_path: Path, place: dict[str, Any]) -> None:
    hosts = {"main": WRONG_HOST, "big": {"machineType": "c4a-standard-8", "dataDiskType": "pd-ssd"}}
    found = problems(tmp_path, axion__hosts=hosts, axion__network={"cidr": "10.20.0.0/30"}, **place)
    assert sorted(line.partition(" ")[2].partition(", got")[0] for line in found) == [
        "config.axion:hosts.big.dataDiskType: c4a has no Persistent Disk",
        "config.axion:hosts.main.dataDiskType: c4a has no Persistent Disk",
        "config.axion:hosts.main.image: not built for arm64, which Axion needs",
        "config.axion:hosts.main.machineType: no such c4a machine in the lists of 2026-08-17",
        "config.axion:network.cidr: too small for a subnet",
        f"config.gcp:zone: {'not text' if place['gcp__zone'] == 3 else 'not of the expected form'}",
    ]


def test_a_zone_of_which_only_the_letter_is_missing_still_says_which_prices_hold(tmp_path: Path) -> None:
    found = problems(tmp_path, host={"machineType": "c4a-standard-72"}, gcp__zone="us-central1")
    zone, limit = found
    assert "config.gcp:zone: not of the expected form" in zone
    assert "config.axion:maxHourlyUsd: the stack costs 3.2" in limit


def test_without_any_place_no_rule_about_places_speaks(tmp_path: Path) -> None:
    found = problems(tmp_path, host={"machineType": "c4a-standard-72", "zone": "us-east1-b"}, gcp__zone="somewhere")
    assert [line.partition(" ")[2] for line in found] == [
        'config.gcp:zone: not of the expected form, got "somewhere". Give a zone such as us-central1-a.'
    ]


def test_a_wrong_region_beside_a_right_zone_is_one_problem_and_prices_hold(tmp_path: Path) -> None:
    found = problems(tmp_path, host={"machineType": "c4a-standard-72"}, gcp__region="USA")
    assert [line.partition(" ")[2].partition(": ")[0] for line in found] == [
        "config.gcp:region",
        "config.axion:maxHourlyUsd",
    ]
