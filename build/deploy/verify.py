"""Prove that what runs is what was deployed, from the host's own evidence."""

import time
from collections.abc import Iterator

from agent.message import MessageError
from agent.protocol import EnvironmentManifest, KernelsAnswer, KernelsOrder
from agent.running import KernelsReport
from build.check import Check
from build.deploy.activate import wait_ready
from build.deploy.diff import Desired
from build.deploy.facts import Facts
from build.deploy.gateway_checks import gateway_checks
from build.deploy.state import current_problem
from build.engine.commands import BuildDirectory
from build.engine.seal import judge_proofs, proof_command
from build.errors import DeployError
from build.pins import Pins
from build.remote.command import Command
from build.remote.executor import ask, check
from build.remote.host import Host
from deployment.quantities import shown_bytes

KERNELS_TIMEOUT_S = 2 * 3600.0
"""All packed weights of a host are read."""


def verify(host: Host, facts: Facts, pins: Pins) -> Iterator[Check]:
    """Check files, engine environment, processes and answers of the current release; yields as it goes."""
    release = facts.release(facts.current)
    if facts.current is None or release is None:
        yield _check("release", [str(current_problem(host.target, facts))], "")
        return
    desired = Desired.described(facts.current, release)
    yield _check("files", changed_files(facts), f"{len(facts.files)} files are as rendered")
    proofs = host.executor.run(proof_command(BuildDirectory.of(host.target.root, desired.build))).stdout
    yield _check("environment", judge_proofs(proofs, pins), f"{desired.build}: vLLM {pins.vllm.version}, kernels load")
    yield from sealed_proofs(host, desired.build)
    running = sum(name in facts.running for name in desired.engines)
    yield _check("processes", stale_processes(desired, facts), f"{running} engines run this release")
    for each in facts.troubles:
        yield Check(each.unit, "warn" if each.kind == "extended" else "fail", each.what)
    yield from gateway_checks(facts, time.time())
    asleep = [name for name in desired.on_demand if name not in facts.running]
    if asleep:
        what = f"{', '.join(sorted(asleep))}: on demand and not loaded, so not asked; a request loads each"
        yield Check("on demand", "skip", what)
    try:
        answers = wait_ready(host, desired, [name for name in desired.engines if name not in asleep], timeout_s=120)
        yield _check("answers", [], f"{len(answers)} models answer a prompt")
    except DeployError as error:
        yield _check("answers", list(error.problems), "")
    yield from kernels_checks(host, desired)


def sealed_proofs(host: Host, digest: str) -> Iterator[Check]:
    """Tell what the environment proved before it was sealed, proof by proof."""
    build = BuildDirectory.of(host.target.root, digest)
    read = Command(argv=("cat", "--", str(build.manifest)), what="read what the environment has proven")
    try:
        proven = EnvironmentManifest.from_json(check(host.executor, read).stdout).proofs
    except (DeployError, MessageError) as error:
        yield _check("proofs", [f"{build.manifest}: cannot be read: {error}. Deploy anew"], "")
        return
    for proof in proven:
        yield Check(f"proof: {proof.name}", proof.verdict, proof.evidence)


def kernels_checks(host: Host, desired: Desired) -> Iterator[Check]:
    """Tell on which of our kernels each engine runs, and whether the packed weights that it maps are as it made them.

    Nothing is told where no engine has any of our kernels.
    """
    build = BuildDirectory.of(host.target.root, desired.build)
    order = KernelsOrder(host.target.root, f"{build.venv}/bin/python").to_json()
    what = "read the packed weights"
    command = host.target.agent.command("packed", order, what=what, timeout_s=KERNELS_TIMEOUT_S)
    try:
        told = ask(host.executor, command, KernelsAnswer)
    except DeployError as error:
        yield _check("kernels", list(error.problems), "")
        return
    for name, report in told.reports.items():
        if name in desired.engines:
            yield kernels_check(name, report)
    if told.files:
        read = f"{len(told.files)} files, {shown_bytes(sum(told.files.values()))}: each byte is as it was made"
        yield _check(
            "packed weights", [f"{problem}. Remove it, and restart its engine" for problem in told.problems], read
        )


def kernels_check(name: str, report: KernelsReport) -> Check:
    """Put what an engine's plug-in wrote into words."""
    layers = ", ".join(f"{kernel} {count}" for kernel, count in report.layers.items()) or "none"
    found, is_kept = f"layers: {layers}; on {report.isa}", True
    if packed := report.packed:
        size = f", {shown_bytes(packed.bytes)}" if packed.bytes is not None else ""
        why = f", for {packed.reason}" if packed.reason is not None else ""
        found += f"; packed weights {packed.state}{size}{why}"
        is_kept = packed.state != "converted"
    return Check(f"kernels: {name}", "pass" if is_kept else "warn", found)


def changed_files(facts: Facts) -> list[str]:
    """Name files of the current release that differ from what was rendered."""
    return [f"{path}: not as rendered" for path in facts.edited_files]


def stale_processes(desired: Desired, facts: Facts) -> list[str]:
    """Name engines that do not run what the current release says."""
    return [
        f"{name}: runs {facts.running.get(name) or 'nothing'}, not {digest}"
        for name, digest in desired.engines.items()
        if facts.running.get(name, digest if name in desired.on_demand else None) != digest
    ]


def _check(name: str, problems: list[str], finding: str) -> Check:
    return Check(name, "fail" if problems else "pass", "\n".join(problems) or finding)
