"""The task that removes everything of ours from a host."""

import sys
from collections.abc import Sequence
from contextlib import suppress

from build.cli.tasking import one_after_another
from build.deploy.uninstall import find, sentences
from build.deploy.uninstall import uninstall as remove
from build.errors import DeployError
from build.remote.host import Host


def uninstall(hosts: Sequence[Host], *, yes: bool, keep_models: bool) -> None:
    found = {host.target.name: find(host, keeps_models=keep_models) for host in hosts}
    chosen = [host for host in hosts if found[host.target.name].goes]
    for host in hosts:
        each = found[host.target.name]
        lines = sentences(host, each) if each.goes else [f"{host.target.name}: nothing of ours is there."]
        for line in lines:
            host.reporter.say(line)
    if not chosen:
        return
    if not yes:
        _ask()
    one_after_another(chosen, lambda host: _remove(host, keeps_models=keep_models))


def _ask() -> None:
    """Raise DeployError unless somebody at a terminal says yes."""
    answer = ""
    if sys.stdin.isatty():
        with suppress(EOFError):
            answer = input("Remove it? Type yes: ")
    if answer.strip() != "yes":
        raise DeployError(
            f"uninstall: nothing was removed, got {answer.strip() or 'no answer'}. Say yes, or add --yes."
        )


def _remove(host: Host, *, keeps_models: bool) -> None:
    stays = remove(host, keeps_models=keeps_models).stays
    host.reporter.say(f"{host.target.name}: removed after {host.reporter.elapsed_s:.1f} s", style="bold green")
    for line in stays:
        host.reporter.say(f"{line} stays: it was there before, or holds what is not ours.")
