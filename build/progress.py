"""What a person sees while a deployment works: one line a phase, bars where something is long, times at the end."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from deployment.errors import ended_once

NINJA = re.compile(r"\[(\d+)/(\d+)\] ")


def terminal(*, stderr: bool, width: int | None = None) -> Console:
    """Open a console. NO_COLOR makes a terminal as plain as a pipe: rich alone would keep bold, dim and moving bars."""
    forced = False if os.environ.get("NO_COLOR") else None
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=True, force_terminal=forced)


class Reporter:
    """Writes to a terminal with colour and moving bars, elsewhere plain lines."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or terminal(stderr=True)
        self._began = time.monotonic()

    def say(self, text: str, *, style: str = "") -> None:
        """Write one line."""
        self.console.print(ended_once(text), style=style, markup=False)

    @contextmanager
    def phase(self, text: str) -> Iterator["Phase"]:
        """Show a phase while it runs, and its time when it is over."""
        began = time.monotonic()
        if not self.console.is_terminal:
            self.say(f"{text} ...")
        with _bars(self.console) as bars:
            yield Phase(self, bars, text)
        self.say(f"{text}: {time.monotonic() - began:.1f} s", style="green")

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began


class Phase:
    """A phase in progress: a spinner with the latest line, and a bar for each named part of it."""

    def __init__(self, reporter: Reporter, bars: Progress, text: str) -> None:
        self._reporter, self._bars = reporter, bars
        self._line: TaskID = bars.add_task(text, total=None, note="")
        self._parts: dict[str, TaskID] = {}
        self._said: dict[str, str] = {}

    def note(self, line: str) -> None:
        """Show the latest line of what runs, on a terminal only: logs are read afterwards, whole, elsewhere."""
        self._bars.update(self._line, note=line.strip()[:60])

    def part(self, name: str, state: str, *, is_done: bool = False) -> None:
        """Show how far one named part is; elsewhere than on a terminal each new state is a line."""
        if name not in self._parts:
            self._parts[name] = self._bars.add_task(f"  {name}", total=None, note=state)
        self._bars.update(self._parts[name], note=state)
        if is_done:
            self._bars.update(self._parts[name], total=1, completed=1)
        if self._said.get(name) != state and not self._reporter.console.is_terminal:
            self._reporter.say(f"  {name}: {state}")
        self._said[name] = state

    def part_transfer(self, name: str, done_bytes: int, total_bytes: int) -> None:
        """Show how much of one named download is there; elsewhere than on a terminal each tenth of it."""
        if self._reporter.console.is_terminal:
            self.part(name, f"{done_bytes / 1e9:.2f} of {total_bytes / 1e9:.2f} GB")
            self._bars.update(self._parts[name], completed=done_bytes, total=total_bytes)
        else:
            tenths = 10 * done_bytes // max(total_bytes, 1)
            self.part(name, f"{10 * tenths} % of {total_bytes / 1e9:.2f} GB")

    def count(self, done: int, total: int) -> None:
        """Move the bar of something counted, such as files compiled."""
        self._bars.update(self._line, completed=done, total=total, note=f"{done} of {total}")

    def transfer(self, done_bytes: int, total_bytes: int) -> None:
        """Move the bar of a download."""
        note = f"{done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB"
        self._bars.update(self._line, completed=done_bytes, total=total_bytes, note=note)


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def progress_of(phase: Phase) -> Callable[[str], None]:
    """Turn a tool's output into a moving bar: pip's `Progress 1234 of 5678`, ninja's `[12/345]`, else its last line."""

    def on_line(line: str) -> None:
        words = line.split()
        if len(words) == 4 and words[0] == "Progress" and words[1].isdigit() and words[3].isdigit():
            phase.transfer(int(words[1]), int(words[3]))
        elif found := NINJA.match(line.strip()):
            phase.count(int(found[1]), int(found[2]))
        else:
            phase.note(line)

    return on_line
