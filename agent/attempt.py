"""What became of one attempt to run processes: why they ended, and what they wrote since it began. One JSON document.

Input: {"do": "begin", "root", "runner"}: print a mark, to be handed in later; or
       {"do": "tell", "root", "runner", "name", "mark"}: print {"reason": text or "", "lines": [text, ...]}.
A mark holds no time of day, which may be set meanwhile: systemd's journal counts from the boot, a file in bytes.
Without a mark it tells of the run that was the last to begin.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from agent.processes import show, supervisord_processes

READ_LINES = 2000
# systemd.exec(5), "Process Exit Codes": what systemd could not do before the program itself began.
STEPS = {
    200: "cannot enter its working directory",
    201: "cannot set its nice level",
    202: "cannot arrange its file descriptors",
    203: "cannot execute its program",
    204: "cannot get the memory to start it",
    205: "cannot set its resource limits",
    206: "cannot set its OOM score",
    208: "cannot open its standard input",
    209: "cannot open its standard output",
    214: "cannot set its scheduling",
    215: "cannot set its CPU affinity",
    216: "cannot find its group",
    217: "cannot find its user",
    218: "cannot set its capabilities",
    219: "cannot put it into its control group",
    224: "cannot open its PAM session",
    225: "cannot make its network namespace",
    226: "cannot show it the files that its unit names",
    228: "cannot filter its system calls",
    233: "cannot make its runtime directory",
    237: "cannot make its keyring",
    238: "cannot make its state directory",
    243: "cannot read its credentials",
    245: "cannot load its BPF programs",
}
RESULTS = {
    "timeout": "it did not start within the time that its unit allows",
    "watchdog": "its watchdog ended it: it made no progress",
    "oom-kill": "the kernel ended it: no memory was left within its limit",
    "start-limit-hit": "systemd gave up: it ended too often",
    "resources": "systemd had no resources for it",
    "protocol": "it ended before it said that it was ready",
}


def begin(root: Path) -> "dict[str, Any]":
    units = show(("gateway.service", "vllm@*.service"), "Id,InvocationID")
    return {
        "boot": boot(),
        "monotonic_us": time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000,
        "before": [unit["InvocationID"] for unit in units if unit.get("InvocationID")],
        "sizes": {path.stem: path.stat().st_size for path in (root / "logs").glob("*.log")},
    }


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


def of_systemd(name: str, mark: "dict[str, Any] | None") -> "dict[str, Any]":
    unit = "gateway.service" if name == "gateway" else f"vllm@{name}.service"
    last = next((each["InvocationID"] for each in show((unit,), "InvocationID") if "InvocationID" in each), "")
    entries = journal(unit)
    if mark is None or last in mark["before"]:  # it runs on, or nothing was started since
        entries = [entry for entry in entries if invocation(entry) == last]
    else:
        entries = [entry for entry in entries if is_since(entry, mark)]
    return {"reason": reason(entries), "lines": [line(entry) for entry in entries]}


def journal(unit: str) -> "list[dict[str, Any]]":
    """All that a unit wrote and that systemd said of it, oldest first."""
    options = ("--namespace=+axion", "--output=json", "--no-pager", "--quiet", f"--lines={READ_LINES}")
    done = subprocess.run(
        ("journalctl", *options, f"--unit={unit}"), capture_output=True, text=True, check=False, timeout=60
    )
    return [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]


def invocation(entry: "dict[str, Any]") -> str:
    """The start that an entry belongs to; systemd's own words about a unit name it otherwise than the unit's."""
    return str(entry.get("INVOCATION_ID") or entry.get("_SYSTEMD_INVOCATION_ID") or "")


def is_since(entry: "dict[str, Any]", mark: "dict[str, Any]") -> bool:
    if invocation(entry) in mark["before"]:
        return False
    if entry["_BOOT_ID"] != mark["boot"]:  # then it counts only if the host was started anew meanwhile
        return bool(entry["_BOOT_ID"] == boot())
    return bool(int(entry["__MONOTONIC_TIMESTAMP"]) >= mark["monotonic_us"])


def reason(entries: "list[dict[str, Any]]") -> str:
    """Say in words why the last run that ended did."""
    for number in range(len(entries) - 1, -1, -1):
        entry = entries[number]
        status = int(entry.get("EXIT_STATUS") or 0) if entry.get("EXIT_CODE") == "exited" else 0
        if status in STEPS:
            step: dict[str, Any] = next((each for each in reversed(entries[:number]) if "EXECUTABLE" in each), {})
            why = str(step.get("MESSAGE", "")).rpartition(": ")[2]
            word = str(entry.get("MESSAGE", "")).rpartition("/")[2]
            named = f", {word} {step['EXECUTABLE']}: {why}" if "EXECUTABLE" in step else ""
            return f"systemd {STEPS[status]} (status {status}{named})"
        if entry.get("UNIT_RESULT") in RESULTS:
            return RESULTS[entry["UNIT_RESULT"]]
        if "EXIT_CODE" in entry:
            return ""  # its own end: its own words tell why
    return ""


def line(entry: "dict[str, Any]") -> str:
    message = entry.get("MESSAGE") or ""
    if isinstance(message, list):  # bytes that are no text
        message = bytes(message).decode(errors="replace")
    at = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(int(entry["__REALTIME_TIMESTAMP"]) / 1e6))
    return f"{at} {entry.get('SYSLOG_IDENTIFIER', '?')}[{entry.get('_PID', '?')}]: {message}"


def of_supervisord(root: Path, name: str, mark: "dict[str, Any] | None") -> "dict[str, Any]":
    process: dict[str, Any] = next((each for each in supervisord_processes(root) if each["name"] == name), {})
    said = str(process.get("spawnerr") or "")
    is_told = said and not said.startswith("Exited too quickly")
    seen = (mark or {}).get("sizes", {}).get(name, 0)
    lines = written(root / "logs" / f"{name}.log", seen)
    if not lines and process.get("statename") == "RUNNING":  # it runs on from before
        lines = written(root / "logs" / f"{name}.log", 0)
    return {"reason": f"supervisord cannot start it: {said}" if is_told else "", "lines": lines}


def written(path: Path, seen: int) -> "list[str]":
    """The end of what a file holds beyond the bytes that were seen."""
    try:
        with path.open("rb") as log:
            log.seek(seen if seen <= path.stat().st_size else 0)  # else a new file has taken its place
            return log.read().decode(errors="replace").splitlines()[-READ_LINES:]
    except OSError:
        return []


def main() -> None:
    wanted = json.loads(sys.argv[1])
    root = Path(wanted["root"])
    if wanted["do"] == "begin":
        print(json.dumps(begin(root)))
    elif wanted["runner"] == "systemd":
        print(json.dumps(of_systemd(wanted["name"], wanted["mark"])))
    else:
        print(json.dumps(of_supervisord(root, wanted["name"], wanted["mark"])))
