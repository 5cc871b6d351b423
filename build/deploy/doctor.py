"""Look for what would stand in the way of a deployment, each with what to do about it."""

import time
from collections.abc import Iterator

from agent.room import lack
from build.check import Check, Verdict
from build.deploy.facts import Facts
from build.deploy.gateway_checks import gateway_checks
from build.engine.compilers import newest, usable
from build.engine.needs import BUILD_BYTES, EVERYTHING, NUMA, VENV
from build.pins import Pins
from build.remote.minimum import is_python_supported
from deployment.quantities import GIB, shown_bytes


def host_checks(facts: Facts, pins: Pins) -> list[Check]:
    """Judge a host by its facts alone."""
    return [
        _python(facts),
        *_tools(facts),
        *_compiler(facts, pins),
        _memory(facts),
        _disk(facts),
        *_runner(facts),
        *gateway_checks(facts, time.time()),
    ]


def _python(facts: Facts) -> Check:
    if not is_python_supported(facts.python):
        return Check(
            "Python", "fail", f"{facts.python}; vLLM 0.32 needs 3.11 to 3.14. Use Ubuntu 24.04, or Debian 12 or newer"
        )
    return Check("Python", "pass", facts.python)


def _tools(facts: Facts) -> list[Check]:
    """What every engine needs fails, what only compiling needs warns; nothing does where a deployment brings it."""
    system = facts.system
    missing = {str(need): need.package for need in EVERYTHING if need.name not in system.found}
    if not system.compilers:
        missing["g++"] = "g++"
    if not missing:
        return [Check("system packages", "pass", ", ".join(str(need) for need in EVERYTHING))]
    if system.is_root and system.has_apt:
        return [
            Check("system packages", "pass", f"no {', '.join(missing)}; a deployment that needs them installs them")
        ]
    always = (str(VENV), str(NUMA))
    return [
        Check(name, "fail", f"missing; `apt-get install {package}`")
        if name in always
        else Check(name, "warn", f"missing, so nothing is compiled there; `apt-get install {package}`")
        for name, package in missing.items()
    ]


def _compiler(facts: Facts, pins: Pins) -> Iterator[Check]:
    """On Arm something is compiled wherever the engine comes from."""
    there = facts.system.compilers
    if facts.machine != "aarch64" or not there:
        return
    best, for_vllm = newest(there, {}), pins.compiler.gcc_min
    if usable(there, for_vllm):
        yield Check("compiler", "pass", best)
    else:
        is_enough_for_kernels = bool(usable(there, pins.compiler.runtime_min(facts.machine)))
        what = "our kernels and not vLLM" if is_enough_for_kernels else "neither our kernels nor vLLM"
        advice = "a deployment looks for a newer one; where there is none: --engine wheel"
        yield Check("compiler", "warn", f"{best} compiles {what}, which needs {for_vllm}; {advice}")


def _memory(facts: Facts) -> Check:
    finding = f"{shown_bytes(facts.memory_bytes)}, {facts.cores} cores, {facts.machine}"
    if facts.memory_bytes < 8 * GIB:
        return Check("machine", "warn", f"{finding}; four small engines take about 7 GiB together")
    return Check("machine", "pass", finding)


def _disk(facts: Facts) -> Check:
    free = shown_bytes(facts.disk_free_bytes)
    full = [f"{room.place}: {lacking}" for room in facts.disks if (lacking := lack(room)) is not None]
    if full:
        return Check("disk", "fail", f"full, so nothing can be deployed: {', '.join(full)}")
    if facts.disk_free_bytes < BUILD_BYTES:
        verdict: Verdict = "warn" if facts.builds else "fail"
        return Check("disk", verdict, f"{free} free; a new engine environment needs {shown_bytes(BUILD_BYTES)}")
    return Check("disk", "pass", f"{free} free")


def _runner(facts: Facts) -> Iterator[Check]:
    """Each unit that is in trouble, and the processes that keep ending."""
    for each in facts.troubles:
        yield Check(each.unit, "warn" if each.kind == "extended" else "fail", each.what)
    if facts.runner is None:
        yield Check("process runner", "pass", "not running; a deployment starts it")
        return
    broken = sorted(name for name, process in facts.runner.items() if process.state in ("FATAL", "BACKOFF"))
    if broken:
        yield Check("process runner", "fail", f"{', '.join(broken)} keep ending. Read `fab logs {broken[0]}`")
    elif not facts.troubles:
        yield Check("process runner", "pass", f"{len(facts.runner)} processes")
