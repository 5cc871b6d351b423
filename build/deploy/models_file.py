"""Which models file a task means: the one that is named, else the one that this computer serves, else models.yaml.

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
from build.remote.target import REPOSITORY, Target

DEFAULT = REPOSITORY / "models.yaml"


def models_path(named: str | None, hosts: Sequence[Host]) -> Path:
    """The models file: --models, else AXION_MODELS, else what these hosts keep, else models.yaml of the checkout.

    Raises DeployError where the kept one is gone.
    """
    if chosen := named or os.environ.get("AXION_MODELS"):
        return Path(chosen)
    for host in hosts:
        if (file := kept(host.target)) is None:
            continue
        if not file.is_file():
            raise DeployError(
                f"models: the file that was deployed here is gone, got {file}. Name another one: --models FILE."
            )
        host.reporter.say(f"Models file: {shown(file)}, as it was deployed here. Another: --models FILE", style="dim")
        return file
    return DEFAULT


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
