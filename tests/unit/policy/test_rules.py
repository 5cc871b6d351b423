"""Each rule of the policy pack on literal resources, without Pulumi."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from axion_policy.resource import UNKNOWN, Resource
from axion_policy.rules import RULES, STACK_RULES

from tests.support.policy_resources import GOOD, changed, urn
from tests.support.policy_violations import ATTACHMENT, DISK, FIREWALL, GRANT, INSTANCE, VIOLATIONS, Violation


def judged(resources: Mapping[str, Mapping[str, Any]], allow: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """Rule, URN and message of every violation among resources by type."""
    all_of_them = [Resource(type=kind, urn=urn(kind), props=props) for kind, props in resources.items()]
    for rule in RULES:
        for resource in all_of_them:
            if not rule.types or resource.type in rule.types:
                config = {"allow": list(allow)} if rule.properties else {}
                yield from ((rule.name, resource.urn, message) for message in rule.judge(resource, config))
    for stack_rule in STACK_RULES:
        yield from ((stack_rule.name, at.urn, message) for at, message in stack_rule.judge(all_of_them))


def one(resource_type: str, path: str, value: Any, allow: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Who objects to one change, and how."""
    found = judged({**GOOD, resource_type: changed(resource_type, path, value)}, allow)
    return [(rule, message) for rule, _, message in found]


def test_nobody_objects_to_what_is_as_it_should_be() -> None:
    assert list(judged(GOOD)) == []


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda each: f"{each.rule} {each.path}")
def test_one_mistake_brings_one_message_of_one_rule(violation: Violation) -> None:
    found = list(judged({**GOOD, violation.type: changed(violation.type, violation.path, violation.value)}))
    assert found == [(violation.rule, urn(violation.urn_of or violation.type), violation.message)]


def test_every_rule_has_a_violation_that_shows_it() -> None:
    assert {rule.name for rule in RULES} | {rule.name for rule in STACK_RULES} == {
        violation.rule for violation in VIOLATIONS
    }


def test_a_reviewer_can_allow_a_host_its_public_address_by_name() -> None:
    address = "networkInterfaces/0/accessConfigs"
    assert one(INSTANCE, address, [{}], allow=("axion-dev-main",)) == []
    assert [rule for rule, _ in one(INSTANCE, address, [{}], allow=("axion-dev-other",))] == ["no-public-ip"]
    assert one(INSTANCE, address, []) == []
    assert [rule for rule, _ in one(INSTANCE, "networkInterfaces/0/ipv6AccessConfigs", [{}])] == ["no-public-ip"]


@pytest.mark.parametrize(
    ("machine", "disk", "is_right"),
    [
        ("c4a-standard-8", "hyperdisk-ml", True),
        ("c4a-standard-8", None, False),
        ("n4a-standard-8", "hyperdisk-balanced", True),
        ("n4a-standard-8", "hyperdisk-ml", False),
        ("n4a-standard-8", "pd-ssd", False),
        ("zones/us-central1-a/machineTypes/c4a-standard-8", "projects/p/zones/z/diskTypes/pd-balanced", False),
        ("e2-small", "pd-balanced", True),
    ],
)
def test_each_series_starts_from_the_disks_that_it_takes(machine: str, disk: str | None, is_right: bool) -> None:
    props = changed(INSTANCE, "machineType", machine)
    props["bootDisk"]["initializeParams"]["type"] = disk
    assert ([rule for rule, _, _ in judged({**GOOD, INSTANCE: props})] == []) is is_right


def test_a_boot_disk_of_its_own_is_judged_as_the_disk_that_it_is() -> None:
    instance = changed(INSTANCE, "bootDisk", {"source": "axion-dev-boot-main"})
    boot = changed(DISK, "image", "debian-12-arm64")
    assert list(judged({INSTANCE: instance, DISK: boot})) == []
    wrong = {**boot, "type": "pd-balanced", "labels": {}}
    assert [rule for rule, _, _ in judged({INSTANCE: instance, DISK: wrong})] == ["hyperdisk-only", *["labels"] * 3]


def test_a_metal_machine_has_another_network_card() -> None:
    props = changed(INSTANCE, "machineType", "c4a-standard-96-metal")
    props["networkInterfaces"][0]["nicType"] = "IDPF"
    assert list(judged({**GOOD, INSTANCE: props})) == []


@pytest.mark.parametrize(
    ("ranges", "is_open"),
    [
        (["10.0.0.0/8"], False),
        (["35.235.240.0/20"], False),
        (["203.0.113.0/24"], False),
        (["0.0.0.0/1", "128.0.0.0/1"], True),
        (["::/0"], True),
        (["2600::/12"], True),
        (["2001:db8::/32"], False),
        (["fd00::/8"], False),
    ],
)
def test_the_world_is_open_in_halves_too(ranges: list[str], is_open: bool) -> None:
    assert bool(one(FIREWALL, "sourceRanges", ranges)) is is_open


def test_a_rule_that_forbids_or_leads_out_opens_nothing() -> None:
    world = ["0.0.0.0/0"]
    assert list(judged({FIREWALL: {"name": "f", "denies": [{"protocol": "all"}], "sourceRanges": world}})) == []
    assert list(judged({FIREWALL: {"name": "f", "direction": "EGRESS", "allows": [{"protocol": "all"}]}})) == []
    assert list(judged({FIREWALL: {"name": "f", "allows": [{"protocol": "tcp"}], "sourceTags": ["lb"]}})) == []


@pytest.mark.parametrize(
    ("role", "is_refused"),
    [
        ("roles/viewer", True),
        ("roles/resourcemanager.projectIamAdmin", True),
        ("roles/secretmanager.secretAccessor", True),
        ("roles/iam.serviceAccountUser", True),
        ("roles/monitoring.metricWriter", False),
        ("projects/p/roles/axion_dev_stop", False),
    ],
)
def test_a_whole_project_is_not_granted_for_one_resource(role: str, is_refused: bool) -> None:
    assert bool(one(GRANT, "role", role)) is is_refused


def test_on_one_secret_its_accessor_is_what_is_wanted_but_not_for_everybody() -> None:
    kind = "gcp:secretmanager/secretIamMember:SecretIamMember"
    grant = {"role": "roles/secretmanager.secretAccessor", "member": "serviceAccount:a@p.iam.gserviceaccount.com"}
    assert list(judged({kind: grant})) == []
    assert [rule for rule, _, _ in judged({kind: {**grant, "member": "allAuthenticatedUsers"}})] == ["narrow-roles"]


def test_what_a_preview_cannot_know_is_not_held_against_it() -> None:
    paths = {
        INSTANCE: ("metadata", "serviceAccount", "shieldedInstanceConfig", "labels", "networkInterfaces", "bootDisk"),
        DISK: ("type", "labels"),
        FIREWALL: ("sourceRanges",),
        GRANT: ("role", "member"),
    }
    for kind, names in paths.items():
        for name in names:
            assert [rule for rule, _ in one(kind, name, UNKNOWN)] == [], (kind, name)


@pytest.mark.parametrize(
    ("image", "is_refused"),
    [
        (None, True),
        ("", True),  # as a provider writes down what nobody gave: stack rules see what came out
        ("debian-12-arm64", False),
        (UNKNOWN, False),  # a preview cannot tell: `pulumi up` asks again, with one of the others
    ],
)
def test_a_disk_needs_a_schedule_unless_it_is_made_from_an_image(image: object, is_refused: bool) -> None:
    found = [rule for rule, _, _ in judged({DISK: changed(DISK, "image", image)})]
    assert found == ["snapshot-schedule"] * is_refused


def test_a_schedule_is_no_mistake_whatever_the_disk_is_made_from() -> None:
    for image in (None, "", "debian-12-arm64", UNKNOWN):
        assert one(DISK, "image", image) == [], image


def test_an_address_is_refused_while_a_name_is_unknown_only_where_no_name_is_allowed() -> None:
    props = changed(INSTANCE, "networkInterfaces/0/accessConfigs", [{}])
    resources = {**GOOD, INSTANCE: {**props, "name": UNKNOWN}}
    assert [rule for rule, _, _ in judged(resources)] == ["no-public-ip"]
    assert list(judged(resources, ("axion-dev-main",))) == []


def test_a_boot_disk_without_a_source_is_judged_by_what_makes_it() -> None:
    assert [rule for rule, _ in one(INSTANCE, "bootDisk", {"source": "", "initializeParams": {"type": "pd-ssd"}})] == [
        *("hyperdisk-only", "labels", "labels", "labels")
    ]
    assert one(INSTANCE, "bootDisk", {"source": UNKNOWN}) == []


def test_a_schedule_counts_by_the_programs_own_references_while_names_are_unknown() -> None:
    policy = "gcp:compute/resourcePolicy:ResourcePolicy"
    (rule,) = (each for each in STACK_RULES if each.name == "snapshot-schedule")
    disk = Resource(type=DISK, urn=urn(DISK), props={"name": "d"})
    schedule = Resource(type=policy, urn=urn(policy), props={"snapshotSchedulePolicy": {"schedule": {}}})
    nothing = Resource(type=policy, urn=urn(policy), props={"groupPlacementPolicy": {}})
    origins = {"disk": [urn(DISK)], "name": [urn(policy)]}
    attachment = Resource(type=ATTACHMENT, urn="a", props={"disk": UNKNOWN, "name": UNKNOWN}, origins=origins)
    assert list(rule.judge([disk, schedule, attachment])) == []
    assert [message for _, message in rule.judge([disk, nothing, attachment])] == [
        "disk: no snapshot schedule, got a policy without snapshotSchedulePolicy. "
        "Attach one by a DiskResourcePolicyAttachment."
    ]


@pytest.mark.parametrize("key", ["HUB_TOKEN", "api-key", "db.password", "gateway-api-keys", "private_key", "secret"])
def test_a_key_that_means_a_secret_is_noticed_by_its_name(key: str) -> None:
    assert [rule for rule, _ in one(INSTANCE, f"metadata/{key}", "x")] == ["no-secrets-in-metadata"]


@pytest.mark.parametrize(
    "key", ["hub-token-secret-id", "secret-name", "token-file", "keyboard", "tokenizer", "ssh-keys"]
)
def test_a_key_that_only_points_at_a_secret_is_not(key: str) -> None:
    assert one(INSTANCE, f"metadata/{key}", "x") == []


def test_no_message_repeats_a_secret() -> None:
    for violation in VIOLATIONS:
        assert "correct-horse" not in violation.message
        assert "hf_" not in violation.message
