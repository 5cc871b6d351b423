"""Show a stack's whole life as its user would see it: the real Pulumi CLI and gcloud on a cloud of our own.

`python -m tests.support.rehearse_cloud`, or `make rehearse-cloud`. Exits with 1 where a step says something unexpected.
"""

import copy
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fakes.cloud.server import running
from tests.support.gcloud_on_cloud import fab, gcloud_environment
from tests.support.pulumi_stack import HOW_TO_GET_IT, PulumiStack, find_cli
from tests.support.requirements.tools import GCLOUD, put_on_path
from tests.support.standing_stack import host_settings

STACK = "prod"
DISK = "projects/axion-test/zones/us-central1-a/disks/axion-prod-data-main"
# True of the stand-in only, and said by every command.
NOISE = "using pulumi-resource-gcp from $PATH"
QUIET = ("--yes", "--suppress-progress")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command, and what it must say."""

    words: tuple[str, ...]
    expects: str
    title: str
    before: Callable[[PulumiStack], Any] | None = None


def grow(stack: PulumiStack) -> None:
    """Ask for a larger machine, and allow what it costs."""
    host_settings(stack, machineType="c4a-standard-48")
    stack.config("maxHourlyUsd", 2.5)


STEPS = (
    Step(title="Bring it up", words=("up", *QUIET), expects="+ 25 created"),
    Step(title="Again, with nothing changed", words=("up", *QUIET, "--suppress-outputs"), expects="25 unchanged"),
    Step(
        title="machineType: c4a-standard-48 in Pulumi.prod.yaml",
        before=grow,
        words=("up", *QUIET, "--diff"),
        expects="~ 1 updated",
    ),
    Step(
        title="deleteData in Pulumi.prod.yaml names the disk and the bucket, or the data would stay",
        before=lambda stack: stack.config("deleteData", ["axion-prod-data-main", "axion-prod-axion-test"]),
        words=("up", *QUIET, "--suppress-outputs"),
        expects="~ 1 updated",
    ),
    Step(title="Take it down", words=("destroy", *QUIET), expects="- 25 deleted"),
)


def shown(text: str) -> str:
    lines = (line.rstrip() for line in text.splitlines() if NOISE not in line)
    return "\n".join(f"    {line}" for line in lines if line)


def census(stack: PulumiStack, title: str, status: int, expects: str) -> list[str]:
    """Ask Google, not Pulumi, what is left."""
    words = ("census", "--stack", STACK, "--expect-empty")
    print(f"\n# {title}\n$ fab {' '.join(words)}", flush=True)
    environment = {**stack.environment, **gcloud_environment(stack.cloud, stack.folder.parent)}
    done = fab(*words, project=stack.folder, environment=environment)
    print(shown(done.stdout + done.stderr), flush=True)
    if done.returncode == status and expects in done.stdout:
        return []
    return [f"fab census: expected exit {status} and {expects!r}, got exit {done.returncode}. See above."]


def rehearse(base: Path, cli: Path) -> list[str]:
    """Run all steps; returns what was not as expected."""
    wrong: list[str] = []
    with running() as cloud:
        stack = PulumiStack.of_checkout(base, cli, cloud, name=STACK)
        disk: dict[str, Any] = {}
        for step in STEPS:
            disk |= copy.deepcopy(cloud.state.resources.get(DISK) or {})
            if step.before:
                step.before(stack)
            print(f"\n# {step.title}\n$ pulumi {' '.join((*step.words, '--stack', STACK))}", flush=True)
            ran = stack.run(*step.words, "--stack", STACK, check=False)
            print(shown(ran.said) + f"\n    ({ran.took_s:.1f} s)", flush=True)
            if ran.status != 0 or step.expects not in ran.said:
                wrong.append(f"pulumi {step.words[0]}: expected {step.expects!r}, got exit {ran.status}. See above.")
        if shutil.which("gcloud") is None:
            return [*wrong, "gcloud: not found, so no census. Install it: https://cloud.google.com/sdk/docs/install."]
        wrong += census(stack, "Ask Google, not Pulumi, what is left", 0, "nothing left")
        cloud.state.resources[DISK] = {**disk, "users": []}
        wrong += census(stack, "The same, had the data disk been left behind", 1, "gcloud compute disks delete")
    return wrong


def main() -> int:
    put_on_path(GCLOUD)
    cli = find_cli()
    if cli is None:
        print(f"pulumi: not found, got none. {HOW_TO_GET_IT}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="axion-rehearsal-") as folder:
        wrong = rehearse(Path(folder), cli)
    for problem in wrong:
        print(problem, file=sys.stderr)
    if not wrong:
        print("\nAll as expected. No account was used, and nothing was created anywhere but in this process.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
