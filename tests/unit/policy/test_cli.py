"""The policy pack as reviewers use it: `pulumi preview --policy-pack policy`, with the real CLI."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from axion_policy.rules import RULES, STACK_RULES

from gateway import __version__
from tests.support.fakes.cloud.server import running
from tests.support.policy_resources import GOOD, changed, urn
from tests.support.policy_violations import INSTANCE, VIOLATIONS, Violation
from tests.support.pulumi_stack import HOW_TO_GET_IT, PulumiStack, find_cli
from tests.support.ran import Ran

REPOSITORY = Path(__file__).parents[3]
PACK = str(REPOSITORY / "policy")
# The preview must be able to tell the schedule by references alone, as with the real provider.
PROGRAM = """
import json
import pulumi

class Resource(pulumi.CustomResource):
    def __init__(self, kind, props):
        super().__init__(kind, kind.rpartition(":")[2].lower(), props)

for kind, props in json.loads({resources!r}).items():
    if "secretData" in props:
        props["secretData"] = pulumi.Output.secret(props["secretData"])
    Resource(kind, props)
"""
FIRST = {violation.rule: violation for violation in reversed(VIOLATIONS)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulumiStack]:
    """A stack of which nothing is ever made: the policies judge its previews."""
    cli = find_cli()
    if cli is None:
        pytest.skip(f"pulumi: not found, so no policy was run by it. {HOW_TO_GET_IT}")
    with running() as cloud:
        made = PulumiStack.create(tmp_path_factory.mktemp("policy"), cli, cloud, "")
        yield made


def previewed(stack: PulumiStack, resources: Mapping[str, Mapping[str, Any]], *flags: str) -> Ran:
    """Preview a program with these resources under the pack."""
    stack.write(PROGRAM.format(resources=json.dumps(resources)))
    return stack.preview("--policy-pack", PACK, *flags, check=False)


def violations_said(ran: Ran) -> list[tuple[str, str]]:
    """Rule and message of each violation that the CLI printed as mandatory."""
    lines = [line.strip() for line in ran.stdout.splitlines()]
    starts = [index for index, line in enumerate(lines) if line.startswith("- [mandatory]")]
    return [(lines[index].split()[2], lines[index + 2]) for index in starts]


def test_a_program_without_mistakes_passes(stack: PulumiStack) -> None:
    ran = previewed(stack, GOOD)
    assert (ran.status, violations_said(ran)) == (0, []), ran.said
    assert f"axion@v{__version__} (local:" in ran.stdout


@pytest.mark.parametrize("violation", FIRST.values(), ids=FIRST)
def test_a_program_that_breaks_one_rule_is_refused_with_its_message(stack: PulumiStack, violation: Violation) -> None:
    changed_one = changed(violation.type, violation.path, violation.value)
    ran = previewed(stack, {**GOOD, violation.type: changed_one})
    assert ran.status != 0
    assert violations_said(ran) == [(violation.rule, violation.message)]
    about = urn(violation.urn_of or violation.type)
    assert f"{about.rpartition('::')[2]})" in ran.stdout
    assert "correct-horse" not in ran.said


def test_every_rule_is_shown_by_a_program() -> None:
    assert set(FIRST) == {rule.name for rule in RULES} | {rule.name for rule in STACK_RULES}


def test_all_mistakes_are_told_at_once_and_nothing_is_created(stack: PulumiStack) -> None:
    props = changed(INSTANCE, "metadata/enable-oslogin", "FALSE")
    props["networkInterfaces"][0]["accessConfigs"] = [{}]
    stack.write(PROGRAM.format(resources=json.dumps({INSTANCE: props})))
    ran = stack.up("--policy-pack", PACK, check=False)
    assert ran.status != 0
    assert [rule for rule, _ in violations_said(ran)] == ["no-public-ip", "os-login"]
    assert [one for one in stack.resources().values() if one["type"] == INSTANCE] == []


def test_a_reviewers_configuration_allows_one_host_its_address(stack: PulumiStack, tmp_path: Path) -> None:
    config = tmp_path / "policy.json"
    config.write_text(json.dumps({"no-public-ip": {"allow": ["axion-dev-main"]}}))
    program = {**GOOD, INSTANCE: changed(INSTANCE, "networkInterfaces/0/accessConfigs", [{}])}
    ran = previewed(stack, program, "--policy-pack-config", str(config))
    assert (ran.status, violations_said(ran)) == (0, []), ran.said


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_projects_own_examples_break_no_rule(tmp_path: Path, name: str) -> None:
    cli = find_cli()
    if cli is None:
        pytest.skip(f"pulumi: not found, so no policy was run by it. {HOW_TO_GET_IT}")
    with running() as cloud:
        own = PulumiStack.of_checkout(tmp_path, cli, cloud, name=name)
        ran = own.preview("--policy-pack", PACK, check=False)
    assert (ran.status, violations_said(ran)) == (0, []), ran.said
