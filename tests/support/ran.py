"""A command of a test: how it ended, what it printed, and how long that took."""

import subprocess
import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended and what it printed."""

    status: int
    stdout: str
    stderr: str
    took_s: float

    @property
    def said(self) -> str:
        """Both outputs."""
        return self.stdout + self.stderr

    @classmethod
    def of(cls, process: "subprocess.Popen[str]", timeout_s: float) -> Self:
        """Wait for the end of a command that has just been started; nobody waits longer for it."""
        began = time.monotonic()
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
        return cls(status=process.returncode, stdout=stdout, stderr=stderr, took_s=time.monotonic() - began)
