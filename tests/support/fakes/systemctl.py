"""A stand-in for `systemctl` on PATH: writes down how it was called and answers `show` from a file."""

from collections.abc import Mapping
from pathlib import Path

PROGRAM = """#!/bin/sh
printf '%s\\n' "$*" >> "{directory}/calls"
answer="{directory}/$1"
[ -f "$answer" ] && cat "$answer"
[ "$1" = stop ] && [ -f "{directory}/obeys" ] && rm -f "{directory}/show"
case "$1" in is-active|{failing}) exit 1;; esac
exit 0
"""


class Systemctl:
    """Its calls, and what it answers to each verb."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.fail("nothing")

    def fail(self, verb: str) -> None:
        program = self.directory / "systemctl"
        program.write_text(PROGRAM.format(directory=self.directory, failing=verb))
        program.chmod(0o755)

    def answer(self, verb: str, text: str) -> None:
        (self.directory / verb).write_text(text)

    def show(self, *units: Mapping[str, str]) -> None:
        self.answer("show", "\n\n".join("\n".join(f"{key}={value}" for key, value in unit.items()) for unit in units))

    def obey_stops(self) -> None:
        """From the first `stop` on nothing runs."""
        (self.directory / "obeys").touch()

    @property
    def calls(self) -> list[str]:
        log = self.directory / "calls"
        return log.read_text().splitlines() if log.exists() else []
