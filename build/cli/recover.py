"""What a failed `pulumi up` left, and what its words mean."""

import sys
from pathlib import Path

from build.cli.stacks import place_of
from build.cloud.adopt import adopt, plan_adoptions
from build.cloud.gcloud import Gcloud
from build.cloud.pulumi_cli import Pulumi
from build.cloud.recover import plan_recovery
from build.cloud.recover import recover as carry_out
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.target import project_directory
from deployment.errors import ConfigError, why
from deployment.refusals.diagnostics import explained
from deployment.stack.name import StackName


def recover(stack: str, foreign_host: str | None, *, yes: bool) -> None:
    name, executor, reporter = StackName(stack), LocalExecutor(), Reporter()
    place, pulumi = place_of(name), Pulumi(executor=executor, directory=project_directory(), stack=name)
    gcloud = Gcloud(executor, place.project)
    recovery = plan_recovery(pulumi, gcloud, place, foreign_host)
    for sentence in recovery.sentences():
        print(sentence)
    if yes and not recovery.is_nothing:
        carry_out(recovery, pulumi, gcloud)
    # While operations are pending, what they created would be found a second time.
    looks = yes or recovery.is_nothing
    adoptions, unasked = plan_adoptions(pulumi, gcloud, place) if looks else ((), ())
    for adoption in adoptions:
        print(adoption.sentence())
    if yes and adoptions:
        adopt(adoptions, pulumi)
    if unasked:
        raise DeployError(*unasked)
    if recovery.is_nothing and not adoptions:
        reporter.say(f"{stack}: nothing to recover. `pulumi up` goes on.")
        return
    if not yes:
        reporter.say("Nothing was changed. Add --yes to do this.")
        return
    reporter.say(f"Recovered after {reporter.elapsed_s:.1f} s. Run `pulumi up --stack {stack}`.", style="bold green")


def explain(log: str | None) -> None:
    try:
        text = Path(log).read_text(encoding="utf-8", errors="replace") if log else sys.stdin.read()
    except OSError as error:
        raise ConfigError([f"--log: cannot read {log}: {why(error)}. Name the file with the output."]) from None
    lines = explained(text)
    if not lines:
        raise ConfigError(
            [
                f"{log or 'standard input'}: no failed resource, got {len(text)} characters. "
                "Give all that `pulumi` printed, to the end of its Diagnostics."
            ]
        )
    for line in lines:
        print(line)
