"""Look at an uploaded release with this host's own programs before anything runs it.

Reads only; what systemd is shown is a copy.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agent.protocol import ReleaseDescription, ValidateAnswer, ValidateOrder

TIMEOUT_S = 300


def run(*argv: str, **changed: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **changed}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def gateway_problems(release: Path) -> Iterator[str]:
    """Have the gateway of the release read its configuration, with the interpreter that will run it."""
    python, config = release / "build" / "venv" / "bin" / "python", release / "gateway.json"
    words = (str(python), "-P", "-m", "gateway", "--config", str(config), "--check")
    done = run(*words, PYTHONPATH=str(release / "lib"), PYTHONDONTWRITEBYTECODE="1")
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing"]
        yield f"gateway.json: the gateway does not accept it: {said[-1].removeprefix('gateway.json: ')}"


def file_problems(release: Path, described: ReleaseDescription) -> Iterator[str]:
    """A release that was put there whole may have lost something since."""
    for path, digest in described.files.items():
        try:
            if hashlib.sha256((release / path).read_bytes()).hexdigest() != digest:
                yield f"{path}: not as it was put there, got other content"
        except OSError as error:
            yield f"{path}: not as it was put there: {error.strerror}"


def unit_problems(release: Path, described: ReleaseDescription) -> Iterator[str]:
    """Have systemd read the units as they will be, but with the programs of this release."""
    source, analyze = release / "systemd", shutil.which("systemd-analyze")
    if not source.is_dir() or analyze is None:
        return
    current = f"{release.parents[1]}/current"
    with tempfile.TemporaryDirectory() as scratch:
        units = Path(scratch)
        for path in source.rglob("*"):
            if path.is_file():
                copy = units / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(path.read_text().replace(current, str(release)))
        names = [path.name for path in units.iterdir() if path.is_file() and "@" not in path.name]
        names += [f"vllm@{name}.service" for name in described.engines]
        # The colon keeps the host's own units in the search path.
        words = (analyze, "verify", "--man=no", "--recursive-errors=no", *sorted(names))
        done = run(*words, SYSTEMD_UNIT_PATH=f"{units}:", SYSTEMD_LOG_LEVEL="warning")
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["systemd-analyze: nothing"]
            # `current` is left in drop-ins that somebody else put on this host, and may not be there yet.
            ours = [line.replace(f"{units}/", "").rstrip(".") for line in said if f"{current}/" not in line]
            yield from (f"systemd: {line}" for line in ours)


def main() -> None:
    order = ValidateOrder.from_json(sys.argv[1])
    release = Path(order.root) / "releases" / order.release
    problems: list[str] = []
    broken: list[str] = []
    try:
        described = ReleaseDescription.from_json((release / "release.json").read_bytes())
        broken += file_problems(release, described)
        if not broken:
            problems += [*gateway_problems(release), *unit_problems(release, described)]
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        broken.append(f"release: cannot be looked at: {error}")
    print(ValidateAnswer(tuple(problems), tuple(broken)).to_json())
