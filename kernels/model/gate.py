"""The gate: no case may need more instructions or modelled cycles than the baseline, beyond a tolerance."""

from kernels.model.case import Results
from kernels.model.model import QEMU

# Instructions are exact, so that 2 % is a real change; the scheduler's cycles move more for the same code.
TOLERANCE = {"instructions": 0.02, "cycles_d8": 0.05}


def regressions(baseline: Results, current: Results, *, whole: bool) -> list[str]:
    """One line for each figure that got worse; `whole` when the current results should hold every case.

    Another compiler makes other instructions and another scheduler other cycles: then nothing can be compared, and that
    is the one line. qemu only runs the program; its version does not show in the figures.
    """
    others = [
        f"{program} {current.tools.get(program, 'missing')}, not {version}"
        for program, version in baseline.tools.items()
        if program != QEMU and current.tools.get(program) != version
    ]
    if others:
        todo = "Install the baseline's, or write a new baseline with --write where only the tools changed."
        return [f"tools: those that the baseline was made with, got {'; '.join(others)}. {todo}"]
    found = []
    for name, now in current.cases.items():
        before = baseline.cases.get(name)
        if before is None:
            found.append(f"{name}: not in the baseline. Write a new one with --write.")
            continue
        figures = {
            "instructions": (before.instructions, now.instructions),
            "cycles_d8": (before.cycles_d8, now.cycles_d8),
        }
        for key, (least, got) in figures.items():
            if got > least * (1 + TOLERANCE[key]):
                found.append(f"{name}: {key} at most {least} + {TOLERANCE[key]:.0%}, got {got}")
    if whole:
        gone = baseline.cases.keys() - current.cases.keys()
        found += [f"{name}: in the baseline, but no longer a case" for name in sorted(gone)]
    return found
