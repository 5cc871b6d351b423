"""Do long work in a transient unit of systemd, and tell how far it is: whoever follows may come and go.

Called with one JSON document:
  {"do": "look", "dir", "unit"}           print {"state": "running" | "finished" | "none", "key", "ok", "began"}
  {"do": "start", "dir", "unit", "timeout_s"}
                                          stop what runs under this unit, and begin what stdin says: {"key", "steps",
                                          "credentials": {name: {"secret": full name} | {"value"}}}
  {"do": "run", "dir"}                    what the unit does: the steps, into <dir>/log and <dir>/result.json
  {"do": "follow", "dir", "unit", "key", "offset"}
                                          print the log from there as it grows, an empty line every BEAT_S, and at
                                          the end {"results": [...]} or {"lost": why}
  {"do": "forget", "dir"}                 put the result away
The log is ASCII, one JSON document a line, so that a follower knows its place in it: {"step", "what", "is_quiet"},
{"line"}, {"ended", "status"}.
"""

import binascii
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from agent.archive import keep as keep_archive
from agent.durable import replace_file
from agent.job_log import MEMORY, Log, forget, keep, read_json, reserve, result_of
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


def look(wanted: dict[str, Any]) -> None:
    directory = Path(wanted["dir"])
    steps, result = read_json(directory / "steps.json"), result_of(directory)
    state: dict[str, Any] = {"state": "none"}
    if steps is None:
        pass  # never begun, and a host without systemd cannot be asked
    elif is_running(wanted["unit"]):
        state = {"state": "running", "key": steps.get("key")}
    elif result is not None:
        ok = all(each["status"] == 0 for each in result["results"])
        state = {"state": "finished", "key": result["key"], "ok": ok}
    print(json.dumps(state))


def start(wanted: dict[str, Any]) -> None:
    """Begin from the first step. What ran under this name does other work, or was asked to end."""
    directory, unit = Path(wanted["dir"]), wanted["unit"]
    document = json.load(sys.stdin)
    for each in (directory.parent, directory):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    archive = keep_archive(directory.parents[1])
    reserve(directory)
    subprocess.run(("systemctl", "stop", unit), check=False, capture_output=True, timeout=120)
    subprocess.run(("systemctl", "reset-failed", unit), check=False, capture_output=True, timeout=30)
    forget(directory)
    (directory / "log").write_text("")
    replace_file(directory / "steps.json", json.dumps({name: document[name] for name in ("key", "steps")}))
    values = {
        name: read_secret(source["secret"]) if "secret" in source else source["value"]
        for name, source in document["credentials"].items()
    }
    with vault(AWAKE.parent / f"credentials-{unit}", values) as loads:
        properties = (*PROPERTIES, f"RuntimeMaxSec={int(wanted['timeout_s'])}", *loads)
        subprocess.run(
            (
                *("systemd-run", f"--unit={unit}", "--quiet", *(f"--property={each}" for each in properties)),
                *(sys.executable, "-I", str(archive), "job", json.dumps({"do": "run", "dir": str(directory)})),
            ),
            check=True,
            timeout=90,
        )


def run(wanted: dict[str, Any]) -> None:
    """Do the steps in order, up to the first that fails."""
    settle()
    directory = Path(wanted["dir"])
    job, log = read_json(directory / "steps.json"), Log(directory / "log")
    threading.Thread(target=stay_awake, daemon=True).start()
    results: list[dict[str, Any]] = []
    for index, step in enumerate(job["steps"]):
        log.tell(step=index, what=step["what"], is_quiet=step["is_quiet"])
        results.append(run_step(step, log))
        log.tell(ended=index, status=results[-1]["status"])
        if results[-1]["status"] != 0:
            full = shortages([str(directory), TEMPORARY, "/var", "/"])
            results[-1]["stderr"] += "".join(f"\nthis host: {each}" for each in full)
            break
    keep(directory, {"key": job["key"], "results": results})


def stay_awake() -> None:
    while True:
        with suppress(OSError):
            AWAKE.parent.mkdir(parents=True, exist_ok=True)
            AWAKE.touch()
        time.sleep(30)


def run_step(step: dict[str, Any], log: Log) -> dict[str, Any]:
    stdin = binascii.a2b_base64(step["stdin"]) if step["stdin"] is not None else b""
    kept: dict[str, deque[str]] = {"stdout": deque(maxlen=KEPT_LINES), "stderr": deque(maxlen=KEPT_LINES)}
    try:
        process = subprocess.Popen(
            step["argv"], cwd=step["cwd"], env={**os.environ, **step["env"]}, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return {"status": 127, "stdout": "", "stderr": f"cannot start, got {error}"}
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    threads = [
        threading.Thread(target=drain, args=(process.stdout, kept["stdout"], log), daemon=True),
        threading.Thread(target=drain, args=(process.stderr, kept["stderr"], log), daemon=True),
        threading.Thread(target=feed, args=(process.stdin, stdin), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        status = process.wait(step["timeout_s"])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        status = 124
        kept["stderr"].append(f"timed out after {step['timeout_s']:g} s\n")
    for thread in threads:
        thread.join(5)
    return {"status": status, **{name: "".join(lines) for name, lines in kept.items()}}


def drain(stream: IO[bytes], kept: deque[str], log: Log) -> None:
    for raw in stream:
        line = raw.decode("utf-8", "replace")
        kept.append(line)
        log.tell(line=line.rstrip("\n"))


def feed(stdin: IO[bytes], data: bytes) -> None:
    try:
        stdin.write(data)
        stdin.close()
    except BrokenPipeError:
        return


def follow(wanted: dict[str, Any]) -> None:
    """Print what is told until the work is over. An empty line now and then finds out whether anybody listens."""
    directory, looked, beaten = Path(wanted["dir"]), 0.0, time.monotonic()
    with (directory / "log").open("rb") as log:
        log.seek(wanted["offset"])
        while True:
            # In this order: what left a result before it ended is not taken for lost.
            is_alive, looked = still_running(wanted["unit"], looked)
            result = result_of(directory)
            while (line := log.readline()).endswith(b"\n"):
                print(line.decode("ascii"), end="")
            log.seek(-len(line), os.SEEK_CUR)
            if result is not None and result["key"] == wanted["key"]:
                print(json.dumps({"results": result["results"]}), flush=True)
                return
            if not is_alive:
                print(json.dumps({"lost": why_lost(wanted["unit"])}), flush=True)
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
    order = json.loads(sys.argv[1])
    verbs: dict[str, Callable[[dict[str, Any]], None]] = {
        "look": look,
        "start": start,
        "run": run,
        "follow": follow,
        "forget": lambda each: forget(Path(each["dir"])),
    }
    try:
        verbs[order["do"]](order)
    except OSError as error:
        sys.exit(f"{order['dir']}: cannot be used, got {error}. Look at that disk.")
