"""What a stack's file says: its settings, where it is, what it costs by the catalog, and which stacks there are."""

from pathlib import Path

from build.cloud.pending import Place
from build.remote.target import project_directory
from deployment.errors import ConfigError
from deployment.stack.catalog import load_catalog
from deployment.stack.file import read_file
from deployment.stack.pricing import Bill
from deployment.stack.settings import StackSettings
from deployment.stack.unknown import stack_bill


def settings_of(stack: str) -> StackSettings:
    """What the stack's file says. Raises ConfigError with every mistake in it."""
    reading = read_file(stack, project_directory())
    if reading.settings is None or reading.problems:
        raise ConfigError(reading.problems)
    return reading.settings


def place_of(stack: str) -> Place:
    """Where a stack is. A mistake elsewhere in its file must not keep anybody from looking or from cleaning up."""
    document = read_file(stack, project_directory()).document
    config = document.data["config"]
    project, zone = (str(config.get(key) or "") for key in ("gcp:project", "gcp:zone"))
    if not project:
        raise ConfigError([f"{document.where(('config', 'gcp:project'))}: missing. Give a project's id."])
    return Place(project, str(config.get("gcp:region") or zone.rpartition("-")[0]), zone)


def billing_account_of(stack: str) -> str | None:
    """The account whose budgets a stack's is among."""
    budget = read_file(stack, project_directory()).document.data["config"].get("axion:budget")
    return str(budget.get("billingAccount") or "") or None if isinstance(budget, dict) else None


def bill_of(settings: StackSettings) -> Bill:
    """Price a stack by its file; machines of unknown shape are the guardrails' business."""
    return stack_bill(settings, load_catalog())


def known_stacks() -> list[str]:
    """Stacks that have a file here."""
    files = sorted(Path(project_directory()).glob("Pulumi.*.yaml"))
    return [path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in files]
