"""docs/teams.md and examples/ci: what they tell people to type exists, and the workflow gives away no more."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack

REPOSITORY = Path(__file__).parents[3]
TEXT = (REPOSITORY / "docs" / "teams.md").read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load((REPOSITORY / "examples" / "ci" / "preview.yml").read_text())
KEY = "projects/p/locations/europe-west4/keyRings/pulumi/cryptoKeys/state"


def commands() -> list[str]:
    """Every `pulumi` command of the page and of the workflow, flags included."""
    runs = [step["run"].replace("\\\n", " ") for step in WORKFLOW["jobs"]["preview"]["steps"] if "run" in step]
    shown = re.findall(r"^    (pulumi .*)$", TEXT, re.MULTILINE) + re.findall(r"`(pulumi [^`]+)`", TEXT)
    return shown + [line.strip() for run in runs for line in run.splitlines() if line.strip().startswith("pulumi ")]


def test_the_workflow_has_an_identity_only_for_this_repositorys_own_branches() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read", "id-token": "write"}
    # YAML reads the key `on` as true. `pull_request_target` would run with the base's rights on a fork's code.
    assert WORKFLOW[True] == {"pull_request": None}
    job = WORKFLOW["jobs"]["preview"]
    assert job["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    assert "secrets." not in yaml.safe_dump(WORKFLOW)
    # What a pull request can choose reaches the shell as a variable, never as text of the script.
    assert [step["run"] for step in job["steps"] if "${{" in step.get("run", "")] == []


def test_every_command_and_flag_is_one_of_the_cli(pulumi_cli: Path) -> None:
    assert len(commands()) >= 8
    unknown = []
    for command in sorted(set(commands())):
        words = re.split(r"[ =|]", command.partition("2>&1")[0].removeprefix("pulumi "))
        verb = [word for word in words[:2] if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
        if verb[0] not in ("stack", "package"):
            verb = verb[:1]
        helped = subprocess.run(
            [pulumi_cli / "pulumi", *verb, "--help"], capture_output=True, text=True, check=False, timeout=30
        )
        flags = [word for word in words if word.startswith("--")]
        # The help of an unknown command is its parent's; `stack init` is an alias of `stack new`.
        used = "\n".join(re.findall(r"^(?:Usage|Aliases):\n(?:  .*\n)+", helped.stdout, re.MULTILINE))
        known = helped.returncode == 0 and re.search(rf"\b{verb[-1]}\b", used) is not None
        unknown += [command] if not known else [f"{command}: {one}" for one in flags if one not in helped.stdout]
    assert unknown == []


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        # It gets as far as asking for an account: the scheme, and the form of the key's name, are known.
        (f"gcpkms://{KEY}", "could not find default credentials"),
        (f"kms://{KEY}", "unknown secrets provider type 'kms'"),
    ],
)
def test_the_cli_knows_a_key_of_cloud_kms(provider: str, said: str, stack: PulumiStack) -> None:
    ran = stack.run("stack", "init", "other", f"--secrets-provider={provider}", check=False)
    assert ran.status != 0
    assert said in ran.said


def test_a_preview_writes_nothing_into_the_state(stack: PulumiStack) -> None:
    """So that its identity needs to read only."""

    def seen() -> list[tuple[str, int, int]]:
        state = stack.folder.parent / "state"
        found = ((path, path.stat()) for path in sorted(state.rglob("*")))
        return [(str(path), stat.st_ctime_ns, stat.st_size) for path, stat in found]

    before = seen()
    stack.preview("--diff", "--suppress-outputs")
    assert seen() == before
    stack.up()
    assert seen() != before


@pytest.fixture
def stack(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> PulumiStack:
    return PulumiStack.create(tmp_path, pulumi_cli, cloud, "import pulumi\npulumi.export('one', 1)\n")
