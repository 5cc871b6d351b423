"""Look for what would stand in the way of a deployment, each with what to do about it."""

from collections.abc import Iterator

from build.engine.compilers import newest, usable
from build.facts import Facts
from build.needs import EVERYTHING, NUMA, VENV
from build.onhost.room import lack
from build.pins import Pins
from build.preflight import BUILD_BYTES, is_python_supported
from deployment.quantities import GIB, shown_bytes

Check = dict[str, str]


def host_checks(facts: Facts, pins: Pins) -> list[Check]:
    """Judge a host by its facts alone."""
    return [_python(facts), *_tools(facts), *_compiler(facts, pins), _memory(facts), _disk(facts), *_runner(facts)]


def _python(facts: Facts) -> Check:
    if not is_python_supported(facts.python):
        return _check(
            "Python", "fail", f"{facts.python}; vLLM 0.32 needs 3.11 to 3.14. Use Ubuntu 24.04, or Debian 12 or newer"
        )
    return _check("Python", "pass", facts.python)


def _tools(facts: Facts) -> list[Check]:
    """What every engine needs fails, what only compiling needs warns; nothing does where a deployment brings it."""
    system = facts.system
    missing = {str(need): need.package for need in EVERYTHING if need.name not in system.found}
    if not system.compilers:
        missing["g++"] = "g++"
    if not missing:
        return [_check("system packages", "pass", ", ".join(str(need) for need in EVERYTHING))]
    if system.is_root and system.has_apt:
        return [
            _check("system packages", "pass", f"no {', '.join(missing)}; a deployment that needs them installs them")
        ]
    always = (str(VENV), str(NUMA))
    return [
        _check(name, "fail", f"missing; `apt-get install {package}`")
        if name in always
        else _check(name, "warn", f"missing, so nothing is compiled there; `apt-get install {package}`")
        for name, package in missing.items()
    ]


def _compiler(facts: Facts, pins: Pins) -> Iterator[Check]:
    """On Arm something is compiled wherever the engine comes from."""
    there = facts.system.compilers
    if facts.machine != "aarch64" or not there:
        return
    best, for_vllm = newest(there, {}), pins.compiler.gcc_min
    if usable(there, for_vllm):
        yield _check("compiler", "pass", best)
    else:
        is_enough_for_kernels = bool(usable(there, pins.compiler.runtime_min(facts.machine)))
        what = "our kernels and not vLLM" if is_enough_for_kernels else "neither our kernels nor vLLM"
        advice = "a deployment looks for a newer one; where there is none: --engine wheel"
        yield _check("compiler", "warn", f"{best} compiles {what}, which needs {for_vllm}; {advice}")


def _memory(facts: Facts) -> Check:
    finding = f"{shown_bytes(facts.memory_bytes)}, {facts.cores} cores, {facts.machine}"
    if facts.memory_bytes < 8 * GIB:
        return _check("machine", "warn", f"{finding}; four small engines take about 7 GiB together")
    return _check("machine", "pass", finding)


def _disk(facts: Facts) -> Check:
    free = shown_bytes(facts.disk_free_bytes)
    full = [f"{room.place}: {lacking}" for room in facts.disks if (lacking := lack(room.model_dump())) is not None]
    if full:
        return _check("disk", "fail", f"full, so nothing can be deployed: {', '.join(full)}")
    if facts.disk_free_bytes < BUILD_BYTES:
        verdict = "warn" if facts.builds else "fail"
        return _check("disk", verdict, f"{free} free; a new engine environment needs {shown_bytes(BUILD_BYTES)}")
    return _check("disk", "pass", f"{free} free")


def _runner(facts: Facts) -> Iterator[Check]:
    """Each unit that is in trouble, and the processes that keep ending."""
    for each in facts.troubles:
        yield _check(each.unit, "warn" if each.kind == "extended" else "fail", each.what)
    if facts.runner is None:
        yield _check("process runner", "pass", "not running; a deployment starts it")
        return
    broken = sorted(name for name, process in facts.runner.items() if process.state in ("FATAL", "BACKOFF"))
    if broken:
        yield _check("process runner", "fail", f"{', '.join(broken)} keep ending. Read `fab logs {broken[0]}`")
    elif not facts.troubles:
        yield _check("process runner", "pass", f"{len(facts.runner)} processes")


def _check(name: str, verdict: str, finding: str) -> Check:
    return {"check": name, "verdict": verdict, "finding": finding}
