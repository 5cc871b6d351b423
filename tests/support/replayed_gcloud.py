"""Put the stand-in gcloud on PATH with its answers."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "fakes" / "gcloud.py"
Answer = tuple[str, int, Any, str]


@dataclass(frozen=True)
class ReplayedGcloud:
    """Where the stand-in and its answers are."""

    folder: Path

    @classmethod
    def on_path(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> "ReplayedGcloud":
        """Make it the first gcloud on PATH for this process and what it starts."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gcloud").write_text(
            f"#!{sys.executable} -IS\n{PROGRAM.read_text(encoding='utf-8')}", encoding="utf-8"
        )
        (folder / "gcloud").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        return cls(folder).answers()

    def answers(self, *answers: Answer) -> "ReplayedGcloud":
        """Set what it says, first match first; anything else gets an empty list."""
        (self.folder / "answers.json").write_text(json.dumps([*answers, ("", 0, "[]", "")]), encoding="utf-8")
        return self

    @property
    def calls(self) -> list[str]:
        """What it was asked."""
        path = self.folder / "calls.txt"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def says(expression: str, value: Any) -> Answer:
    """A call that succeeds."""
    return (expression, 0, value, "")


def refuses(expression: str, stderr: str, status: int = 1) -> Answer:
    """A call that fails."""
    return (expression, status, "", stderr)
