"""The gate: no case may need more instructions or modelled cycles than the baseline, beyond a tolerance."""

from typing import Any

from kernels.model.model import QEMU

# Instructions are exact, so that 2 % is a real change; the scheduler's cycles move more for the same code.
TOLERANCE = {"instructions": 0.02, "cycles_d8": 0.05}


def regressions(baseline: dict[str, Any], current: dict[str, Any], *, whole: bool) -> list[str]:
    """One line for each figure that got worse; `whole` when the current results should hold every case.

    Another compiler makes other instructions and another scheduler other cycles: then nothing can be compared, and that
    is the one line. qemu only runs the program; its version does not show in the figures.
    """
    others = [
        f"{program} {current['tools'].get(program, 'missing')}, not {version}"
        for program, version in baseline["tools"].items()
        if program != QEMU and current["tools"].get(program) != version
    ]
    if others:
        todo = "Install the baseline's, or write a new baseline with --write where only the tools changed."
        return [f"tools: those that the baseline was made with, got {'; '.join(others)}. {todo}"]
    found = []
    for name, now in current["cases"].items():
        before = baseline["cases"].get(name)
        if before is None:
            found.append(f"{name}: not in the baseline. Write a new one with --write.")
            continue
        for key, tolerance in TOLERANCE.items():
            if now[key] > before[key] * (1 + tolerance):
                found.append(f"{name}: {key} at most {before[key]} + {tolerance:.0%}, got {now[key]}")
    if whole:
        gone = baseline["cases"].keys() - current["cases"].keys()
        found += [f"{name}: in the baseline, but no longer a case" for name in sorted(gone)]
    return found
