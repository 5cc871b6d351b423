"""A real ssh-agent with keys in it, whatever locks them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.share import eventually
from tests.support.ssh_server import make_key

SECRET = "a secret"
"""The passphrase of the tests' locked keys."""


@contextmanager
def agent(folder: Path, monkeypatch: pytest.MonkeyPatch, *keys: Path, count: int = 0) -> Iterator[None]:
    """Hold `count` fresh keys, then these, for the length of a block."""
    place, ask = folder / "agent", folder / "askpass"
    place.unlink(missing_ok=True)
    ask.write_text(f"#!/bin/sh\necho '{SECRET}'\n")
    ask.chmod(0o755)
    fresh = [folder / f"fresh{number}" for number in range(count)]
    for key in fresh:
        make_key(key)
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        eventually(place.exists, "the agent listens", 10)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        env = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        for key in (*fresh, *keys):
            subprocess.run(["ssh-add", "-q", str(key)], check=True, env=env, timeout=10, stderr=subprocess.PIPE)
        yield
    finally:
        process.kill()
        process.wait(10)
