"""Run Python in the emulated machine, with or without the plug-in."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from build.errors import DeployError
from tests.support.arm.host import OUTPUT, REPOSITORY
from tests.support.arm.root import ROOT
from tests.support.arm.wheels import AXION, SITE

SHARED = OUTPUT / "shared"
CACHE = SHARED / "cache"  # vLLM's
# Neoverse V2's vector length; SME would be looked for, and V2 has none.
NEOVERSE_V2 = "max,sve128=on,sve256=off,sve512=off,sme=off"
BOUND_S = 3600.0  # ten minutes where nothing else runs
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "QEMU_CPU": NEOVERSE_V2,
    # There is no compiler in there, and a test of kernels needs none: they are outside of what is compiled.
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CACHE_ROOT": "/srv/shared/cache",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One Python program in there. It writes its answers as JSON to the path that is its last argument."""

    name: str
    argv: tuple[str, ...]
    with_kernels: bool
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def answers(self) -> Path:
        return SHARED / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return SHARED / f"{self.name}.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended."""

    status: int
    said: str
    seconds: float
    answers: Mapping[str, Any]


def vllm_job(name: str, models: Sequence[tuple[str, Path]], **environment: str) -> Job:
    """Answer with real vLLM, by kernels/serve.py, stock unless AXION_KERNELS is set. Models are below SHARED."""
    asked = [{"name": model, "model": inside(path)} for model, path in models]
    listed = SHARED / f"{name}-models.json"
    listed.write_text(json.dumps(asked))
    argv = ("/srv/checkout/tests/support/kernels/serve.py", inside(listed))
    return Job(name=name, argv=argv, with_kernels="AXION_KERNELS" in environment, environment=environment)


def operators_job(name: str, **environment: str) -> Job:
    """Check the torch operators, by tests/support/kernels/operators.py."""
    return Job(name=name, argv=("-m", "tests.support.kernels.operators"), with_kernels=True, environment=environment)


def inside(path: Path) -> str:
    """A path below SHARED as programs in there see it."""
    return f"/srv/shared/{path.relative_to(SHARED)}"


def emulate(jobs: Sequence[Job], *, at_once: int) -> Iterator[tuple[Job, Outcome]]:
    """Run the jobs, some at once, and return each as it ends; none is left behind, however this ends."""
    waiting = list(jobs)
    running: list[tuple[Job, subprocess.Popen[bytes], float]] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                running.append((job, _start(job), time.monotonic()))
            for one in tuple(running):
                job, process, began = one
                seconds = time.monotonic() - began
                if process.poll() is not None:
                    running.remove(one)
                    yield job, _outcome(job, process.returncode, seconds)
                elif seconds > BOUND_S:
                    raise DeployError(f"{job.name}: timed out after {BOUND_S:g} s. Read {job.log}.")
            time.sleep(0.2)
    finally:
        for _, process, _ in running:
            process.kill()  # and with it, by unshare, all that it started and mounted
            process.wait()


def _start(job: Job) -> "subprocess.Popen[bytes]":
    job.answers.unlink(missing_ok=True)
    # The checkout last: its folder `build` would hide a package of that name.
    path = ("/srv/site", *(("/srv/axion",) if job.with_kernels else ()), "/srv/checkout")
    environment = {**ENVIRONMENT, "PYTHONPATH": ":".join(path), **job.environment}
    command: tuple[str | Path, ...] = (
        *("setpriv", "--pdeathsig", "KILL"),  # when this process is killed rather than interrupted
        *("env", "--ignore-environment", *(f"{key}={value}" for key, value in environment.items())),
        *(REPOSITORY / "tests" / "support" / "arm" / "enter.sh", ROOT, REPOSITORY, SITE, AXION, SHARED),
        *("python3", "-P", *job.argv, inside(job.answers)),
    )
    with job.log.open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def _outcome(job: Job, status: int, seconds: float) -> Outcome:
    return Outcome(
        status=status,
        said=job.log.read_text(errors="replace"),
        seconds=seconds,
        answers=json.loads(job.answers.read_text()) if job.answers.is_file() else {},
    )
