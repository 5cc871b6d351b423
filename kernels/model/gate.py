"""The gate: no case may need more instructions or modelled cycles than the baseline, beyond a tolerance."""

from typing import Any

# Instructions are exact, so that 2 % is a real change; the scheduler's cycles move more for the same code.
TOLERANCE = {"instructions": 0.02, "cycles_d8": 0.05}


def regressions(baseline: dict[str, Any], current: dict[str, Any], *, whole: bool) -> list[str]:
    """One line for each figure that got worse; `whole` when the current results should hold every case."""
    found = []
    if baseline["tools"] != current["tools"]:
        versions = f"baseline {baseline['tools']}, here {current['tools']}"
        found.append(f"tools: the same as the baseline's, got others ({versions}). Write a new baseline with --write.")
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
