"""Pieces of jobs for tests."""

import sys
from typing import Any

from build.remote.command import Command
from build.remote.jobs import Job

UNIT = "axion-work-test.service"


def step(code: str, **given: Any) -> Command:
    return Command(argv=(sys.executable, "-I", "-c", code), **{"what": "do it", "timeout_s": 20.0, **given})


def a_job(*steps: Command, **given: Any) -> Job:
    return Job(**{"name": "test", "what": "test it", "steps": steps, "timeout_s": 60.0, **given})
