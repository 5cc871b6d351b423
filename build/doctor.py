"""Look for what would stand in the way of a deployment, each with what to do about it."""

from build.facts import Facts
from build.preflight import BUILD_BYTES, PACKAGES, missing_tools
from deployment.quantities import GIB, shown_bytes

Check = dict[str, str]
PYTHON_MIN, PYTHON_MAX = (3, 11), (3, 14)


def host_checks(facts: Facts) -> list[Check]:
    """Judge a host by its facts alone."""
    return [_python(facts), *_tools(facts), _memory(facts), _disk(facts), _runner(facts)]


def _python(facts: Facts) -> Check:
    version = tuple(int(part) for part in facts.python.split(".")[:2])
    if not PYTHON_MIN <= version <= PYTHON_MAX:
        return _check("Python", "fail", f"{facts.python}; vLLM 0.32 needs 3.11 to 3.14. Install python3.12")
    return _check("Python", "pass", facts.python)


def _tools(facts: Facts) -> list[Check]:
    needed = missing_tools(facts, is_compiled=False)
    optional = [tool for tool in missing_tools(facts, is_compiled=True) if tool not in needed]
    found = [_check(tool, "fail", f"missing; `apt-get install {PACKAGES[tool]}`") for tool in needed]
    found += [
        _check(tool, "warn", f"missing, so only enforce_eager models start; `apt-get install {PACKAGES[tool]}`")
        for tool in optional
    ]
    return found or [_check("system packages", "pass", ", ".join(sorted(facts.tools)))]


def _memory(facts: Facts) -> Check:
    finding = f"{shown_bytes(facts.memory_bytes)}, {facts.cores} cores, {facts.machine}"
    if facts.memory_bytes < 8 * GIB:
        return _check("machine", "warn", f"{finding}; four small engines take about 7 GiB together")
    return _check("machine", "pass", finding)


def _disk(facts: Facts) -> Check:
    free = shown_bytes(facts.disk_free_bytes)
    if facts.disk_free_bytes < BUILD_BYTES:
        verdict = "warn" if facts.builds else "fail"
        return _check("disk", verdict, f"{free} free; a new engine environment needs {shown_bytes(BUILD_BYTES)}")
    return _check("disk", "pass", f"{free} free")


def _runner(facts: Facts) -> Check:
    if facts.runner is None:
        return _check("process runner", "pass", "not running; a deployment starts it")
    broken = sorted(name for name, process in facts.runner.items() if process.state in ("FATAL", "BACKOFF"))
    if broken:
        return _check("process runner", "fail", f"{', '.join(broken)} keep ending. Read `fab logs {broken[0]}`")
    return _check("process runner", "pass", f"{len(facts.runner)} processes")


def _check(name: str, verdict: str, finding: str) -> Check:
    return {"check": name, "verdict": verdict, "finding": finding}
