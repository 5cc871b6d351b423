"""Take a host's data to another zone."""

from datetime import UTC, datetime

from build.cli.stacks import place_of, settings_of
from build.cloud.gcloud import Gcloud
from build.cloud.move import Move, carry_out, decide
from build.cloud.pulumi_cli import Pulumi
from build.cloud.whereabouts import look
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.target import project_directory
from deployment.errors import ConfigError
from deployment.stack.name import StackName
from deployment.stack.settings import StackSettings


def move(given: str, zone: str, host: str, *, yes: bool) -> None:
    stack = StackName(given)
    settings, place, executor, reporter = settings_of(stack), place_of(stack), LocalExecutor(), Reporter()
    _check(settings, stack, host, zone)
    pulumi = Pulumi(executor=executor, directory=project_directory(), stack=stack)
    gcloud = Gcloud(executor, place.project)
    found = look(pulumi, gcloud, place, host, settings, zone)
    planned = decide(host, zone, found, place.project)
    if planned.is_nothing:
        reporter.say(f"{host}: its data is in {zone} already. `pulumi up --stack {stack}` makes the machine there.")
        return
    for sentence in planned.sentences():
        print(sentence)
    if not yes:
        reporter.say("Nothing was changed. Add --yes to do this.")
        return
    with reporter.phase(f"Move {found.disk.name} to {zone}"):
        carry_out(planned, pulumi, gcloud, datetime.now(UTC))
    for sentence in what_next(planned, stack, place.project):
        print(sentence)


def what_next(planned: Move, stack: str, project: str) -> list[str]:
    """What a person does after a move."""
    disk = planned.found.disk
    said = [
        f"Next: `fab up --stack {stack} --yes` makes the machine in {planned.zone}, then "
        f"`fab build-and-deploy --stack {stack}` serves from what is on the disk."
    ]
    if planned.points:
        said.append(
            f"{disk.name} in {disk.zone} is as it was. When the host serves from {planned.zone}, delete it: `gcloud "
            f"compute disks delete {disk.name} --zone={disk.zone} --project={project}`; `fab census --stack {stack}` "
            "lists it with its snapshots."
        )
    return said


def _check(settings: StackSettings, stack: str, host: str, zone: str) -> None:
    problems = []
    if host not in settings.hosts:
        problems.append(f"--host: no such host in Pulumi.{stack}.yaml, got {host}. Use {', '.join(settings.hosts)}.")
    elif settings.hosts[host].zones and zone not in settings.hosts[host].zones:
        zones = ", ".join(settings.hosts[host].zones)
        problems.append(f"--zone: not among the host's zones, got {zone}. Use one of {zones}, or add it there.")
    if zone.rpartition("-")[0] != settings.region:
        problems.append(f"--zone: outside {settings.region}, where the subnet is, got {zone}. Give a zone of it.")
    if problems:
        raise ConfigError(problems)
