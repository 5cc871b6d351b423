"""Bring a stack up where there is room for it."""

from build.cloud.gcloud import Gcloud
from build.cloud.pulumi_cli import Pulumi
from build.cloud.up import up as bring_up
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.target import project_directory
from deployment.refusals.diagnostics import explained
from deployment.stack.file import read_file
from deployment.stack.guardrails import check
from deployment.stack.name import StackName
from deployment.stack.settings import StackSettings


def up(given: str, *, yes: bool) -> None:
    stack = StackName(given)
    settings, executor, reporter = checked_settings(stack), LocalExecutor(), Reporter()
    pulumi = Pulumi(executor=executor, directory=project_directory(), stack=stack)
    if not yes:
        result = pulumi.preview()
        if not result.succeeded:
            raise DeployError(*explained(result.stdout))
        reporter.say("Nothing was changed. Add --yes to do this.")
        return
    for sentence in bring_up(pulumi, Gcloud(executor, settings.project), settings):
        reporter.say(sentence, style="bold")


def checked_settings(stack: StackName) -> StackSettings:
    """The stack's settings, held against its models and everything else that a preview holds them against."""
    directory = project_directory()
    return check(read_file(stack, directory), directory).settings
