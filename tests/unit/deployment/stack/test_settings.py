"""Pulumi.<stack>.yaml: what may stand in it, and what is said of what may not."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.errors import ConfigError
from deployment.stack.file import Reading, read_file, read_pulumi
from deployment.stack.settings import StackSettings

REPOSITORY = Path(__file__).parents[4]
SMALL = """config:
  gcp:project: a-project
  gcp:zone: us-central1-a
  axion:maxHourlyUsd: 2
  axion:hosts:
    main:
      machineType: c4a-standard-32
"""


def read(text: str, directory: Path, stack: str = "test") -> Reading:
    (directory / f"Pulumi.{stack}.yaml").write_text(text)
    return read_file(stack, directory)


def changed(tmp_path: Path, **changes: Any) -> Reading:
    """The small stack with some keys changed; a key that becomes None is taken out."""
    config = yaml.safe_load(SMALL)["config"]
    for key, value in changes.items():
        config[key.replace("__", ":", 1)] = value
    config = {key: value for key, value in config.items() if value is not None}
    return read(yaml.safe_dump({"config": config}, sort_keys=False), tmp_path)


def test_the_least_that_a_stack_says(tmp_path: Path) -> None:
    reading = read(SMALL, tmp_path)
    assert reading.problems == ()
    settings = reading.settings
    assert settings is not None
    assert (settings.project, settings.zone, settings.region) == ("a-project", "us-central1-a", "us-central1")
    assert settings.hosts["main"].boot_disk_type == "hyperdisk-balanced"
    assert (settings.delete_data, settings.allow_unknown, settings.bucket) == ((), False, False)
    assert settings.hosts["main"].public_ip is None
    assert settings.zone_of("main") == "us-central1-a"


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_examples_read_the_same_from_the_file_and_from_pulumi(stack: str) -> None:
    """Pulumi hands mappings, numbers and booleans to a program as JSON text."""
    config = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())["config"]
    handed = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    by_file, by_pulumi = read_file(stack, REPOSITORY), read_pulumi(stack, handed, frozenset(), REPOSITORY)
    assert by_file.settings == by_pulumi.settings
    assert by_file.settings is not None
    assert (by_file.problems, by_pulumi.problems) == ((), ())


def test_what_pulumi_yaml_declares_is_what_the_settings_know() -> None:
    """One home for a default is the field; Pulumi wants one beside each optional key, so the two are compared."""
    declared = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())["config"]
    known = {field.alias: field for field in StackSettings.model_fields.values()}
    assert set(declared) == {alias for alias in known if alias and alias.startswith("axion:")}
    assert all(entry["description"] for entry in declared.values())
    base = {"gcp:project": "a-project", "gcp:zone": "us-central1-a", "gcp:region": "us-central1"}
    base |= {"axion:maxHourlyUsd": 1.0, "axion:hosts": {"main": {"machineType": "c4a-standard-1"}}}  # type: ignore[dict-item] # data
    defaults = {key: entry["default"] for key, entry in declared.items() if "default" in entry}
    secrets = {key: defaults.pop(key) for key in ("axion:gatewayApiKeys", "axion:hubToken")}
    assert set(secrets.values()) == {""}
    assert StackSettings.model_validate({**base, **defaults}) == StackSettings.model_validate(base)


def test_every_mistake_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    text = """config:
  gcp:project: a-project
  gcp:zone: us-central1-a
  axion:maxHourlyUsd: -1
  axion:foo: 3
  axion:network: {cidr: 10.0.0.1/24, gatewayCidrs: [8.8.8.0/24]}
  axion:hosts:
    main:
      machineTyp: c4a-standard-32
      idleStopMinutes: 2
      publicIp: {allowCidrs: [0.0.0.0/0]}
    Bad_Name: {machineType: c4a-standard-8, bootDiskGib: big}
"""
    assert sorted(read(text, tmp_path).problems) == sorted([
        'Pulumi.test.yaml:6 config.axion:network.cidr: its host bits are set, got "10.0.0.1/24". '
        "Give a private range such as 10.20.0.0/24.",
        'Pulumi.test.yaml:6 config.axion:network.gatewayCidrs[0]: not a private range, got "8.8.8.0/24". '
        "Give private ranges that may reach the gateway.",
        "Pulumi.test.yaml:4 config.axion:maxHourlyUsd: too small, got -1. "
        "Give dollars an hour that all hosts may cost.",
        "Pulumi.test.yaml:5 config.axion:foo: unknown key, got 3. Delete it; known here: gcp:project, gcp:zone, "
        "gcp:region, axion:hosts, axion:maxHourlyUsd, axion:allowUnknown, axion:network, axion:gatewayApiKeys, "
        "axion:hubToken, axion:bucket, axion:budget, axion:alerts, axion:labels, axion:deleteData, axion:secureBoot, "
        "axion:secretRegions, axion:kmsKey, axion:stopRole.",
        "Pulumi.test.yaml:8 config.axion:hosts.main.machineType: missing. "
        "Give a machine type such as c4a-standard-32.",
        'Pulumi.test.yaml:9 config.axion:hosts.main.machineTyp: unknown key, got "c4a-standard-32". '
        "Write machineType, if that is meant.",
        "Pulumi.test.yaml:10 config.axion:hosts.main.idleStopMinutes: too small, got 2. "
        "Give minutes without a request, from 5 to 1440, after which it stops itself.",
        'Pulumi.test.yaml:11 config.axion:hosts.main.publicIp.allowCidrs[0]: wider than /16, got "0.0.0.0/0". '
        "Give the ranges that may connect, such as [203.0.113.0/28].",
        'Pulumi.test.yaml:12 config.axion:hosts.Bad_Name: not a usable name, got "Bad_Name". '
        "Use up to 12 of a-z and 0-9, starting with a letter: it is part of Google's names.",
        'Pulumi.test.yaml:12 config.axion:hosts.Bad_Name.bootDiskGib: not a whole number, got "big". '
        "Give GiB from 10 to 2048.",
    ])  # fmt: skip


def test_what_is_right_beside_a_mistake_can_still_be_checked(tmp_path: Path) -> None:
    hosts = {"main": {"machineType": "c4a-standard-32", "dataDiskGib": "x"}, "Bad_": {"machineType": 1}}
    reading = changed(tmp_path, axion__hosts=hosts, gcp__project="X", axion__maxHourlyUsd="much")
    assert len(reading.problems) == 5
    assert reading.settings is not None
    assert list(reading.settings.hosts) == ["main"]


@pytest.mark.parametrize("key", ["axion:gatewayApiKeys", "axion:hubToken"])
def test_a_secret_in_clear_is_refused_and_not_repeated(tmp_path: Path, key: str) -> None:
    reading = read(f"{SMALL}  {key}: planted-secret-5f2e\n", tmp_path)
    (problem,) = reading.problems
    assert problem == (
        f"Pulumi.test.yaml:8 config.{key}: written in clear, got 19 characters. Run `pulumi config set --secret {key}`."
    )


def test_an_encrypted_secret_is_known_to_be_there_and_nothing_more(tmp_path: Path) -> None:
    reading = read(f"{SMALL}  axion:hubToken:\n    secure: v1:abc:def\n", tmp_path)
    assert reading.problems == ()
    assert reading.settings is not None
    assert (reading.settings.hub_token, reading.settings.gateway_api_keys) == (True, False)
    handed = {"gcp:project": "a-project", "gcp:zone": "us-central1-a", "axion:maxHourlyUsd": "2"}
    handed |= {"axion:hosts": '{"main": {"machineType": "c4a-standard-32"}}', "axion:hubToken": "planted-secret-5f2e"}
    by_pulumi = read_pulumi("test", handed, frozenset({"axion:hubToken"}), tmp_path)
    assert by_pulumi.settings == reading.settings
    assert "planted-secret-5f2e" not in repr(by_pulumi)


def test_the_providers_other_settings_are_left_to_the_provider(tmp_path: Path) -> None:
    text = f"{SMALL}  gcp:computeCustomEndpoint: http://127.0.0.1:1\n  pulumi:tags: {{a: b}}\n"
    assert read(text, tmp_path).problems == ()


def test_a_budget_in_dollars_is_told_what_to_write_today(tmp_path: Path) -> None:
    budget = {"monthlyUsd": 900, "billingAccount": "012345-6789AB-CDEF01"}
    found = changed(tmp_path, axion__budget=budget).problems
    assert any(
        "config.axion:budget.monthlyUsd: unknown key, got 900. Write monthlyAmount, in the billing account's currency, "
        "which need not be dollars." in line
        for line in found
    )
    assert changed(tmp_path, axion__budget={**budget, "monthlyUsd": 1, "monthlyAmount": 1}).problems != ()


@pytest.mark.parametrize(("former", "today", "allowed"), [(True, None, True), (True, False, True), (False, True, True),
                                                          (False, None, False)])  # fmt: skip
def test_the_former_name_of_a_setting_still_works(
    tmp_path: Path, former: bool, today: bool | None, allowed: bool
) -> None:
    """Pulumi hands over the default of the name of today beside the former one of the file."""
    more = {} if today is None else {"axion__allowUnknown": today}
    reading = changed(tmp_path, axion__allowUnknownPrices=former, **more)
    assert (reading.problems, reading.settings and reading.settings.allow_unknown) == ((), allowed)


@pytest.mark.parametrize("name", ["Prod", "my_stack", "prod-eu", "1st", "-x"])
def test_a_stacks_name_must_fit_into_googles_names(tmp_path: Path, name: str) -> None:
    (problem,) = read(SMALL, tmp_path, name).problems
    assert problem.startswith(f'stack: not a usable name, got "{name}". Use lower-case letters and digits')


def test_a_key_written_twice_is_a_problem(tmp_path: Path) -> None:
    (problem,) = read(f"{SMALL}      machineType: c4a-standard-8\n", tmp_path).problems
    assert problem == (
        "Pulumi.test.yaml:8 config.axion:hosts.main.machineType: written twice, got two values. Keep one."
    )


def test_empty_mappings_mean_that_nothing_is_wanted(tmp_path: Path) -> None:
    reading = changed(tmp_path, axion__budget={}, axion__alerts={}, axion__network={}, axion__labels={})
    assert reading.settings is not None
    assert (reading.settings.budget, reading.settings.alerts) == (None, None)


def test_a_file_in_another_encoding_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.test.yaml").write_bytes(b"config: \xff\n")
    with pytest.raises(ConfigError, match=r"Pulumi\.test\.yaml: cannot be read: not UTF-8 at byte 9\. Give a readable"):
        read_file("test", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "Pulumi.test.yaml: not found. There are other."),
        ("a: [", "Pulumi.test.yaml:1: not YAML:"),
        ("encryptionsalt: v1\n", "Pulumi.test.yaml config: missing."),
        ("config: 3\n", "Pulumi.test.yaml config: not a mapping, got 3."),
        ("a: " + "[" * 5000, "Pulumi.test.yaml: nested deeper than 50 levels."),
        (
            'config: {axion:gatewayApiKeys: "planted\\e"}\n',
            'Pulumi.test.yaml:1 config.axion:gatewayApiKeys: with a character that cannot be printed, got "\\u001b".',
        ),
    ],
)
def test_a_file_that_says_nothing_is_one_problem(tmp_path: Path, text: str | None, said: str) -> None:
    (tmp_path / "Pulumi.other.yaml").write_text("config: {}\n")
    if text is not None:
        (tmp_path / "Pulumi.test.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_file("test", tmp_path)
    (problem,) = caught.value.problems
    assert problem.startswith(said)
