"""What would stop `pulumi up`: the part of `fab doctor` that looks at a stack and its cloud."""

from build.check import Check
from build.cli.stacks import bill_of, settings_of
from build.cloud.doctor import stack_checks
from build.cloud.gcloud import Gcloud
from build.cloud.pulumi_cli import Pulumi
from build.cloud.subject import Subject
from build.remote.executor import LocalExecutor
from build.remote.target import project_directory
from deployment.errors import ConfigError
from deployment.stack.catalog import load_catalog
from deployment.stack.file import read_file
from deployment.stack.guardrails import check
from deployment.stack.name import StackName


def doctor_checks(given: str) -> list[Check]:
    """Look at everything."""
    directory, executor, stack = project_directory(), LocalExecutor(), StackName(given)
    settings, config = settings_of(stack), read_file(stack, directory).document.data["config"]
    subject = Subject(
        stack=stack.short, settings=settings, bill=bill_of(settings), catalog=load_catalog(), config=config
    )
    pulumi = Pulumi(executor=executor, directory=directory, stack=stack)
    found = stack_checks(subject, Gcloud(executor, settings.project), pulumi)
    try:
        notices = check(read_file(stack, directory), directory).notices
    except ConfigError as error:
        return [Check("configuration", "fail", line) for line in error.problems] + found
    words: list[Check] = [Check("configuration", "warn", notice) for notice in notices]
    return [
        Check("configuration", "pass", f"{stack.file} and its models fit"),
        *words,
        *found,
    ]
