"""What a rehearsal shows: titled steps, each with the command that a user types, what it says, and its time."""

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class StepError(Exception):
    """A step did not do what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """A step and its time."""

    title: str
    seconds: float


@dataclass(eq=False, kw_only=True)
class Transcript:
    """Steps in their order, printed as they happen."""

    times: list[Took] = field(default_factory=list)

    @contextmanager
    def step(self, title: str, typed: str = "") -> Iterator[None]:
        print(f"\n# {title}" + (f"\n$ {typed}" if typed else ""), flush=True)
        began = time.monotonic()
        try:
            yield
        finally:
            self.times.append(Took(title=title, seconds=time.monotonic() - began))
            print(f"    ({self.times[-1].seconds:.1f} s)", flush=True)

    def say(self, line: str) -> None:
        print(f"    {line}", flush=True)

    def typed(
        self,
        title: str,
        words: tuple[str, ...],
        popen: Callable[..., "subprocess.Popen[str]"],
        end: Callable[["subprocess.Popen[str]"], None],
        *,
        expects: str = "",
        noise: str | None = None,
    ) -> str:
        """Run what a user would type and show everything that it says, less lines with noise. Raises StepError."""
        with self.step(title, shlex.join(words)):
            process = popen(*words)
            said: list[str] = []
            try:
                assert process.stdout is not None, "it is a pipe"
                for line in process.stdout:
                    said.append(line)
                    if line.strip() and (noise is None or noise not in line):
                        self.say(line.rstrip())
                status = process.wait()
            finally:
                end(process)
            if status != 0 or expects not in "".join(said):
                raise StepError(f"{title}: expected {expects!r}, got exit {status}. See above.")
        return "".join(said)

    def print_times(self) -> None:
        print("\nTimes")
        for took in self.times:
            print(f"    {took.seconds:7.1f} s  {took.title}")
        print(f"    {sum(took.seconds for took in self.times):7.1f} s  in all", flush=True)
