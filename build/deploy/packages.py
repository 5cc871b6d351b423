"""Bring a host the packages that it lacks, before anything else asks for what is in them."""

import time
from collections.abc import Iterable, Mapping

from agent.protocol import OffersAnswer, OffersOrder, System
from build.engine.compilers import NAMES, choose_compiler, newest
from build.engine.needs import WITHOUT_COMPILING, Needs
from build.errors import DeployError
from build.remote.command import Command
from build.remote.executor import check
from build.remote.host import Host
from build.remote.jobs import Job, forget_job, run_job, wait_for_job
from build.remote.target import Target

WORK = "packages"
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300")
# A machine that boots for the first time reads the lists itself, and apt-get does not wait for that.
LISTS_BOUND_S, LISTS_RETRY_S = 300.0, 5.0


def install_packages(host: Host, needs: Needs, system: System) -> None:
    """Bring what is missing, as a job that outlives this task. Raises DeployError where apt cannot."""
    with host.reporter.phase("Read the distribution's package lists"):
        unread = _read_lists(host)
    offered = OffersAnswer.from_json(check(host.executor, offers_command(host.target)).stdout).versions
    if unread and not needs.lacking(system):
        host.reporter.say(f"No newer compiler was looked for, {newest(system.compilers, {})} is used: {unread}")
        return
    if unread and not offered:
        raise DeployError(
            f"{host.target.name}: the distribution's package lists cannot be read: {unread}. "
            "Let the host reach its package mirror, or install what is missing there by hand."
        )
    packages = chosen_packages(needs, system, offered, name=host.target.name)
    if not packages:
        return  # no newer compiler is to be had
    steps = (finish_command(host.target), install_command(packages))
    wait_for_job(host, WORK, "Wait for packages that are being installed already")
    run_job(host, Job(name=WORK, what="install system packages", steps=steps, timeout_s=1500))
    forget_job(host, WORK)


def refuse_lacking(host: Host, needs: Needs, system: System) -> None:
    """Raise DeployError where something is missing although apt said that all went well."""
    if lacking := needs.lacking(system):
        raise DeployError(
            f"{host.target.name}: the packages are installed and do not bring all of it: {', '.join(lacking)}. "
            f"Look there with `apt-cache policy {' '.join(needs.packages(system))}`, and install what brings it."
        )


def chosen_packages(needs: Needs, system: System, offered: Mapping[str, str], *, name: str) -> tuple[str, ...]:
    """Decide what to install. Raises DeployError where no compiler on offer is new enough."""
    packages = [package for package in needs.packages(system) if package != "g++"]
    if needs.gcc_min != "0":
        chosen = choose_compiler(system.compilers, offered, minimum=needs.gcc_min, wanted=needs.gcc_wanted)
        if chosen is None:
            raise DeployError(_too_old(needs, system, offered, name))
        if chosen not in system.compilers:
            packages.append(chosen)
    return tuple(dict.fromkeys(packages))


def _too_old(needs: Needs, system: System, offered: Mapping[str, str], name: str) -> str:
    step = "Use an image of the family ubuntu-2404-lts-arm64, or install a newer g++"
    if needs.is_compiling:
        step += f"; or {WITHOUT_COMPILING}"
    return (
        f"{name}: {system.distribution} has no compiler that is new enough, got {newest(system.compilers, offered)} "
        f"where g++ {needs.gcc_min} is needed. {step}."
    )


def finish_command(target: Target) -> Command:
    what = "finish what was being installed"
    return target.agent.command("dpkg", what=what, timeout_s=900)


def offers_command(target: Target) -> Command:
    order, what = OffersOrder(NAMES).to_json(), "ask which compilers the distribution offers"
    return target.agent.command("apt-offers", order, what=what, timeout_s=120)


def update_command() -> Command:
    argv = (*APT, "-o", "Acquire::Retries=3", "update")
    return Command(argv=argv, what="read the distribution's package lists", timeout_s=300)


def install_command(packages: Iterable[str]) -> Command:
    argv = (*APT, "install", "--yes", "--no-install-recommends", *packages)
    return Command(argv=argv, what=f"install {', '.join(packages)}", timeout_s=900)


def _read_lists(host: Host) -> str:
    """Read them, after whoever does so now; returns the first thing that could not be read, in apt's words.

    Where there is no way out apt only warns, and exits with 0, as it does of much that is no obstacle.
    """
    deadline = time.monotonic() + LISTS_BOUND_S
    while True:
        result = host.executor.run(update_command())
        if "lists/lock" not in result.stderr or time.monotonic() > deadline:
            told = [line for line in result.stderr.splitlines() if line.startswith(("E:", "W: Failed to fetch"))]
            return (told or ["" if result.succeeded else f"exit status {result.status}"])[0]
        time.sleep(LISTS_RETRY_S)
