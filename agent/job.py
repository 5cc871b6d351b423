"""Do a job in a transient unit of systemd, and tell how far it is: whoever follows may come and go.

Input: a JobOrder, which asks to
  look     print a JobState
  start    stop what runs under this unit, and begin what stdin says: a JobStart
  run      what the unit does: the steps, into <dir>/log and <dir>/result.json
  follow   print the log from there on as it grows, an empty line every BEAT_S, and at the end how the job ended
  forget   put the result away
The log is ASCII, a JobEvent a line, so that a follower knows its place in it.
"""

import binascii
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from agent.archive import keep as keep_archive
from agent.durable import replace_file
from agent.job_log import MEMORY, Log, forget, keep, reserve, result_of
from agent.protocol import (
    FromSecretManager,
    JobEnded,
    JobEvent,
    JobLost,
    JobOrder,
    JobResult,
    JobStart,
    JobState,
    JobStep,
    JobSteps,
    LogLine,
    StepBegan,
    StepEnded,
    StepResult,
)
from agent.proxies import settle
from agent.room import TEMPORARY, shortages
from agent.secrets import read_secret, vault

AWAKE = MEMORY / "awake"
"""Its time stamp says to the idle stop that somebody uses this machine."""
BEAT_S, POLL_S = 15.0, 0.2
KEPT_LINES = 4000
PROPERTIES = (
    "Type=exec",
    # Whatever a step started ends with it.
    "KillMode=control-group",
    # Engines that serve come first, for the processor and when memory runs out.
    "CPUWeight=20",
    "Nice=5",
    "OOMScoreAdjust=800",
    # A unit of the system has no home, and tools keep caches there.
    "Environment=HOME=/root LANG=C.UTF-8",
    "UMask=0022",
)


def unit_state(unit: str) -> dict[str, str]:
    """What systemd says of a unit."""
    asked = ("systemctl", "show", "--property=ActiveState,Result,ExecMainStatus", unit)
    shown = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def is_running(unit: str) -> bool:
    return unit_state(unit).get("ActiveState") in ("active", "activating", "deactivating", "reloading")


def look(order: JobOrder) -> None:
    directory, state = Path(order.dir), JobState("none")
    if not (directory / "steps.json").exists():
        pass  # never begun, and a host without systemd cannot be asked
    elif is_running(order.unit):
        steps = JobSteps.of_file(directory / "steps.json")
        state = JobState("running", steps.key if steps is not None else None)
    elif (result := result_of(directory)) is not None:
        state = JobState("finished", result.key, all(each.status == 0 for each in result.results))
    print(state.to_json())


def start(order: JobOrder) -> None:
    """Begin from the first step. What ran under this name is another job, or was asked to end."""
    directory, unit = Path(order.dir), order.unit
    wanted = JobStart.from_json(sys.stdin.read())
    for each in (directory.parent, directory):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    archive = keep_archive(directory.parents[1])
    reserve(directory)
    subprocess.run(("systemctl", "stop", unit), check=False, capture_output=True, timeout=120)
    subprocess.run(("systemctl", "reset-failed", unit), check=False, capture_output=True, timeout=30)
    forget(directory)
    (directory / "log").write_text("")
    replace_file(directory / "steps.json", wanted.job.to_json())
    values = {
        name: read_secret(source.secret) if isinstance(source, FromSecretManager) else source.value
        for name, source in wanted.credentials.items()
    }
    with vault(AWAKE.parent / f"credentials-{unit}", values) as loads:
        properties = (*PROPERTIES, f"RuntimeMaxSec={int(order.timeout_s)}", *loads)
        subprocess.run(
            (
                *("systemd-run", f"--unit={unit}", "--quiet", *(f"--property={each}" for each in properties)),
                *(sys.executable, "-I", str(archive), "job", JobOrder("run", str(directory)).to_json()),
            ),
            check=True,
            timeout=90,
        )


def run(order: JobOrder) -> None:
    """Do the steps in order, up to the first that fails."""
    settle()
    directory = Path(order.dir)
    job, log = JobSteps.from_json((directory / "steps.json").read_bytes()), Log(directory / "log")
    threading.Thread(target=stay_awake, daemon=True).start()
    results: list[StepResult] = []
    for index, step in enumerate(job.steps):
        log.tell(StepBegan(index, step.what, step.is_quiet))
        result = run_step(step, log)
        log.tell(StepEnded(index, result.status))
        if result.status != 0:
            full = shortages([str(directory), TEMPORARY, "/var", "/"])
            result = replace(result, stderr=result.stderr + "".join(f"\nthis host: {each}" for each in full))
        results.append(result)
        if result.status != 0:
            break
    keep(directory, JobResult(job.key, tuple(results)))


def stay_awake() -> None:
    while True:
        with suppress(OSError):
            AWAKE.parent.mkdir(parents=True, exist_ok=True)
            AWAKE.touch()
        time.sleep(30)


def run_step(step: JobStep, log: Log) -> StepResult:
    stdin = binascii.a2b_base64(step.stdin) if step.stdin is not None else b""
    out, err = deque[str](maxlen=KEPT_LINES), deque[str](maxlen=KEPT_LINES)
    try:
        process = subprocess.Popen(
            step.argv, cwd=step.cwd, env={**os.environ, **step.env}, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return StepResult(127, "", f"cannot start: {error}")
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    threads = [
        threading.Thread(target=drain, args=(process.stdout, out, log), daemon=True),
        threading.Thread(target=drain, args=(process.stderr, err, log), daemon=True),
        threading.Thread(target=feed, args=(process.stdin, stdin), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        status = process.wait(step.timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        status = 124
        err.append(f"timed out after {step.timeout_s:g} s\n")
    for thread in threads:
        thread.join(5)
    return StepResult(status, "".join(out), "".join(err))


def drain(stream: IO[bytes], kept: deque[str], log: Log) -> None:
    for raw in stream:
        line = raw.decode("utf-8", "replace")
        kept.append(line)
        log.tell(LogLine(line.rstrip("\n")))


def feed(stdin: IO[bytes], data: bytes) -> None:
    try:
        stdin.write(data)
        stdin.close()
    except BrokenPipeError:
        return


def follow(order: JobOrder) -> None:
    """Print what is told until the job is over. An empty line now and then finds out whether anybody listens."""
    directory, looked, beaten = Path(order.dir), 0.0, time.monotonic()
    with (directory / "log").open("rb") as log:
        log.seek(order.offset)
        while True:
            # In this order: what left a result before it ended is not taken for lost.
            is_alive, looked = still_running(order.unit, looked)
            result = result_of(directory)
            while (line := log.readline()).endswith(b"\n"):
                print(line.decode("ascii", "replace").replace("\ufffd", "?"), end="")
            log.seek(-len(line), os.SEEK_CUR)
            if result is not None and result.key == order.key:
                print(JobEvent(JobEnded(result.results)).to_json(), flush=True)
                return
            if not is_alive:
                print(JobEvent(JobLost(why_lost(order.unit))).to_json(), flush=True)
                return
            if time.monotonic() > beaten + BEAT_S:
                beaten = time.monotonic()
                print()
            sys.stdout.flush()
            time.sleep(POLL_S)


def still_running(unit: str, looked: float) -> tuple[bool, float]:
    """Ask systemd every two seconds only: it costs a process each time."""
    now = time.monotonic()
    return (True, looked) if now < looked + 2 else (is_running(unit), now)


def why_lost(unit: str) -> str:
    """Say in systemd's words how a unit ended that left no result."""
    state = unit_state(unit)
    if state.get("ActiveState") == "failed":
        return f"{state.get('Result')} (status {state.get('ExecMainStatus')})"
    return "it was stopped, or the machine was started anew"


def main() -> None:
    order = JobOrder.from_json(sys.argv[1])
    verbs: dict[str, Callable[[JobOrder], None]] = {
        "look": look,
        "start": start,
        "run": run,
        "follow": follow,
        "forget": lambda each: forget(Path(each.dir)),
    }
    try:
        verbs[order.do](order)
    except OSError as error:
        sys.exit(f"{order.dir}: cannot be used: {error}. Look at that disk.")
