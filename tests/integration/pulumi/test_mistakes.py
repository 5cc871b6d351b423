"""Mistakes that our guardrails would not see, planted into a copy of the program: the cloud itself refuses each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.pulumi_stack import PulumiStack
from tests.support.standing_stack import StandingStack, changes

VM = "projects/axion-test/zones/us-central1-a/instances/axion-prod-main"
INSERT = "/compute/v1/projects/axion-test/zones/us-central1-a/instances"
URN = "urn:pulumi:prod::axion::axion:infra:AxionHost$gcp:compute/instance:Instance::host-main-instance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What stands in infra/host.py, what is written instead, and what the answer must say."""

    name: str
    right: str
    wrong: str
    says: str
    before_any_request: bool = False


# The program's own boot disk is judged before there is an instance (test_end.py beside this); so these go without it.
BOOT_DISK = 'source=boot.self_link, auto_delete=False, device_name="axion-boot"'
MADE_BY_THE_INSTANCE = (
    'initialize_params={{"type": "{type}", "image": "projects/ubuntu-os-cloud/global/images/family/{image}"}}'
)
MISTAKES = [
    Mistake(
        name="a network card in the wrong case",
        right="nic_type=args.machine.shape.nic_type",
        wrong='nic_type="gvnic"',
        says="Invalid value at 'resource.network_interfaces[0].nic_type' "
        '(type.googleapis.com/google.cloud.compute.NetworkInterface.NicType), "gvnic"',
    ),
    Mistake(
        name="a name with capitals",
        right="name=naming.name(args.host),",
        wrong='name="axion-prod-Main",',
        says="Invalid value for field 'resource.name': 'axion-prod-Main'",
    ),
    Mistake(
        name="a field that does not exist",
        right="network_interfaces=[_interface(args, self._address)],",
        wrong='network_interfaces=[{"subnetwork": args.subnetwork, "nicTyp": "GVNIC"}],',
        says="property networkInterfaces[0].nicTyp value {<nil>} has a problem: unknown input, got 'GVNIC'.",
        before_any_request=True,
    ),
    Mistake(
        name="a provisioning model in the wrong case",
        right="_scheduling(settings, args.machine.shape)",
        wrong='compute.InstanceSchedulingArgs(provisioning_model="spot", automatic_restart=False)',
        says="Invalid value at 'resource.scheduling.provisioning_model' "
        '(type.googleapis.com/google.cloud.compute.Scheduling.ProvisioningModel), "spot"',
    ),
    Mistake(
        name="a Persistent Disk",
        right=BOOT_DISK,
        wrong=MADE_BY_THE_INSTANCE.format(type="pd-balanced", image="ubuntu-2404-lts-arm64"),
        says="[pd-balanced, c4a-standard-32] features are not compatible for creating instance.",
    ),
    Mistake(
        name="an image for another processor",
        right=BOOT_DISK,
        wrong=MADE_BY_THE_INSTANCE.format(type="hyperdisk-balanced", image="ubuntu-2404-lts-amd64"),
        says="Requested boot disk architecture (X86_64) is not compatible with machine type architecture (ARM64).",
    ),
]


@pytest.fixture(scope="module")
def without_host(standing_prod: StandingStack) -> PulumiStack:
    """The prod example with everything but its instance."""
    stack = standing_prod.put_back()
    stack.destroy("--target", URN, "--target-dependents")
    assert VM not in stack.cloud.state.resources
    return stack


@pytest.fixture
def mistaken(without_host: PulumiStack, request: pytest.FixtureRequest) -> Iterator[PulumiStack]:
    """The same with a mistake in its program."""
    mistake: Mistake = request.param
    program = without_host.folder / "infra" / "host.py"
    text = program.read_text()
    assert text.count(mistake.right) == 1
    program.write_text(text.replace(mistake.right, mistake.wrong))
    without_host.cloud.requests.clear()
    yield without_host
    program.write_text(text)


@pytest.mark.parametrize(
    ("mistaken", "mistake"), [(one, one) for one in MISTAKES], ids=[one.name for one in MISTAKES], indirect=["mistaken"]
)
def test_a_mistake_is_refused_in_googles_words_and_makes_no_instance(mistaken: PulumiStack, mistake: Mistake) -> None:
    ran = mistaken.up(check=False)
    assert ran.status != 0
    said = re.sub(r"\s+", " ", ran.said)
    assert mistake.says in said, ran.said
    made = changes(mistaken.cloud)
    assert [line.partition(" ")[0] for line in made] == ([] if mistake.before_any_request else ["instances.insert"])
    refused = [one for one in mistaken.cloud.requests if one["method"] == "compute.instances.insert"]
    assert [one["status"] for one in refused] == [400] * len(made)
    assert not [path for path in mistaken.cloud.state.resources if "/instances/" in path]
    assert "host-main-instance" not in mistaken.resources()


def test_the_cloud_itself_knows_every_field(without_host: PulumiStack) -> None:
    """The SDK and the provider stop an unknown field first; a client without them gets no further."""
    body = {"name": "axion-prod-main", "machineTypo": "zones/us-central1-a/machineTypes/c4a-standard-8"}
    status, answer = without_host.cloud.answer("POST", INSERT, body)
    assert status == 400
    assert 'Unknown name "machineTypo"' in answer["error"]["message"]
