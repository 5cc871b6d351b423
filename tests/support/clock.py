"""A task of an operator whose clock is wrong: `datetime.now` and `time.time` of that process are shifted."""

from pathlib import Path

PATCH = """
import datetime, os, time
SHIFT = float(os.environ.get("CLOCK_SHIFT_S", "0"))
real, right = datetime.datetime, time.time
class Shifted(real):
    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + datetime.timedelta(seconds=SHIFT)
datetime.datetime, time.time = Shifted, lambda: right() + SHIFT
"""


def wrong_clock(directory: Path, shift_s: float) -> dict[str, str]:
    """Make the module that shifts it; returns the environment that a task with this clock needs."""
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(PATCH)
    return {"PYTHONPATH": str(directory), "CLOCK_SHIFT_S": str(shift_s)}
