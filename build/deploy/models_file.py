"""Which models file a task means: the one that is named, else the one that the host is to serve, else models.yaml.

What a host of a stack is to serve, axion:hosts says, and an inventory passes on: hosts beside each other may differ.

`make demo` deploys a file of its own. A plain `fab plan` that read models.yaml after it would answer for the production
host, with 32 cores and 77 GiB. So this computer keeps the name of the file that was deployed to it, beside what it
serves, until `fab stop` or `fab uninstall`; every task that goes by it says so. It is kept apart from release.json: a
rollback returns to an older release, not to an older intention. Hosts of a stack or an inventory keep nothing like it,
and no task for them reads what this computer keeps: a demonstration must never reach them unasked.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from build.errors import DeployError
from build.remote.host import Host
from build.remote.target import REPOSITORY, Target, project_directory
from deployment.models import DEFAULT_MODELS

DEFAULT = REPOSITORY / DEFAULT_MODELS


def models_files(named: str | None, hosts: Sequence[Host]) -> dict[str, Path]:
    """The models file of each host: --models, else AXION_MODELS, else the host's own, else models.yaml of the checkout.

    Raises DeployError where a host's own file is gone.
    """
    if chosen := named or os.environ.get("AXION_MODELS"):
        return {host.target.name: Path(chosen) for host in hosts}
    found = {host.target.name: _own(host.target) for host in hosts}
    if problems := [_gone(host, file) for host in hosts if (file := found[host.target.name]) and not file.is_file()]:
        raise DeployError(*problems)
    for host in hosts:
        if file := found[host.target.name]:
            why = "as it was deployed here" if host.target.is_here else f"as it is written for {host.target.name}"
            host.reporter.say(f"Models file: {shown(file)}, {why}. Another: --models FILE", style="dim")
    return {name: file or DEFAULT for name, file in found.items()}


def unhosted_file(named: str | None) -> Path:
    """The models file of a task that asks no host: --models, else AXION_MODELS, else models.yaml of the checkout."""
    return Path(named or os.environ.get("AXION_MODELS") or DEFAULT)


def models_path(named: str | None, hosts: Sequence[Host]) -> Path:
    """The one models file of these hosts, for tasks that change it. Raises DeployError where they differ as well."""
    files = models_files(named, hosts)
    if len(set(files.values())) > 1:
        got = ", ".join(f"{shown(file)} of {name}" for name, file in files.items())
        raise DeployError(f"models: the hosts do not serve the same file: {got}. Add --host NAME or --models FILE.")
    return next(iter(files.values()))


def _own(target: Target) -> Path | None:
    """What this computer keeps, or what is written for another host."""
    return kept(target) if target.models is None else project_directory() / target.models


def _gone(host: Host, file: Path) -> str:
    if host.target.is_here:
        return f"models: the file that was deployed here is gone, got {file}. Name another one: --models FILE."
    return f"models: the file that is written for {host.target.name} is not here, got {file}. Name one: --models FILE."


def kept(target: Target) -> Path | None:
    """The file that was deployed to this computer last; None for another host."""
    try:
        return Path(_record(target).read_text(encoding="utf-8")) if target.is_here else None
    except FileNotFoundError:
        return None


def keep(target: Target, file: Path) -> None:
    """Remember it, on this computer. Where the disk is full it is not remembered, and nothing else fails."""
    if not target.is_here:
        return
    with suppress(OSError):
        draft = _record(target).with_name(".models-file.new")
        draft.write_text(str(file.resolve()), encoding="utf-8")
        draft.replace(_record(target))


def forget(target: Target) -> None:
    if target.is_here:
        _record(target).unlink(missing_ok=True)


def option(file: Path | None) -> str:
    """What names it on a command line; nothing where it is what a task takes by itself."""
    return "" if file in (None, DEFAULT) else f" --models {shown(file)}"


def shown(file: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _record(target: Target) -> Path:
    return Path(target.root) / "state" / ".models-file"
