"""What became of one attempt to run processes: why they ended, and what they wrote since it began."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.processes import show, supervisord_state
from agent.protocol import AttemptAnswer, AttemptMark, AttemptOrder

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


@dataclass(frozen=True)
class Entry:
    """One entry of systemd's journal, with its fields by the names that it gives them."""

    fields: Mapping[str, str]

    @classmethod
    def read(cls, text: str) -> "Entry":
        """Read a line of JSON."""
        return cls({key: text_of(value) for key, value in json.loads(text).items()})

    def get(self, name: str, missing: str = "") -> str:
        return self.fields.get(name, missing)

    @property
    def invocation(self) -> str:
        """The start that it belongs to; systemd's own words about a unit name it otherwise than the unit's."""
        return self.get("INVOCATION_ID") or self.get("_SYSTEMD_INVOCATION_ID")

    def is_since(self, mark: AttemptMark) -> bool:
        if self.invocation in mark.before:
            return False
        if self.fields["_BOOT_ID"] != mark.boot:  # then it counts only if the host was started anew meanwhile
            return self.fields["_BOOT_ID"] == boot()
        return int(self.fields["__MONOTONIC_TIMESTAMP"]) >= mark.monotonic_us

    @property
    def line(self) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(int(self.fields["__REALTIME_TIMESTAMP"]) / 1e6))
        return f"{at} {self.get('SYSLOG_IDENTIFIER', '?')}[{self.get('_PID', '?')}]: {self.get('MESSAGE')}"


def text_of(value: str | list[int] | list[str] | None) -> str:
    """A field's value: bytes where it is no text, the values of one that is there several times, None of a huge one."""
    if isinstance(value, list):
        numbers = bytes(each for each in value if isinstance(each, int))
        return numbers.decode(errors="replace") or str(value[-1])
    return value or ""


def begin(root: Path) -> AttemptMark:
    units = show(("gateway.service", "vllm@*.service"), "Id,InvocationID")
    return AttemptMark(
        boot=boot(),
        monotonic_us=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000,
        before=tuple(unit["InvocationID"] for unit in units if unit.get("InvocationID")),
        sizes={path.stem: path.stat().st_size for path in (root / "logs").glob("*.log")},
    )


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


def of_systemd(name: str, mark: AttemptMark | None) -> AttemptAnswer:
    unit = "gateway.service" if name == "gateway" else f"vllm@{name}.service"
    last = next((each["InvocationID"] for each in show((unit,), "InvocationID") if "InvocationID" in each), "")
    entries = journal(unit)
    if mark is None or last in mark.before:  # it runs on, or nothing was started since
        entries = [entry for entry in entries if entry.invocation == last]
    else:
        entries = [entry for entry in entries if entry.is_since(mark)]
    return AttemptAnswer(reason=reason(entries), lines=tuple(entry.line for entry in entries))


def journal(unit: str) -> list[Entry]:
    """All that a unit wrote and that systemd said of it, oldest first."""
    options = ("--namespace=+axion", "--output=json", "--no-pager", "--quiet", f"--lines={READ_LINES}")
    done = subprocess.run(
        ("journalctl", *options, f"--unit={unit}"), capture_output=True, text=True, check=False, timeout=60
    )
    return [Entry.read(text) for text in done.stdout.splitlines() if text.startswith("{")]


def reason(entries: list[Entry]) -> str:
    """Say in words why the last run that ended did."""
    for number in range(len(entries) - 1, -1, -1):
        entry = entries[number]
        status = int(entry.get("EXIT_STATUS") or 0) if entry.get("EXIT_CODE") == "exited" else 0
        if status in STEPS:
            step = next((each for each in reversed(entries[:number]) if each.get("EXECUTABLE")), None)
            word = entry.get("MESSAGE").rpartition("/")[2]
            named = f", {word} {step.get('EXECUTABLE')}: {step.get('MESSAGE').rpartition(': ')[2]}" if step else ""
            return f"systemd {STEPS[status]} (status {status}{named})"
        if entry.get("UNIT_RESULT") in RESULTS:
            return RESULTS[entry.get("UNIT_RESULT")]
        if entry.get("EXIT_CODE"):
            return ""  # its own end: its own words tell why
    return ""


def of_supervisord(root: Path, name: str, mark: AttemptMark | None) -> AttemptAnswer:
    process = (supervisord_state(root) or {}).get(name)
    said = process.refusal if process else ""
    is_told = said and not said.startswith("Exited too quickly")
    log = root / "logs" / f"{name}.log"
    lines = written(log, mark.sizes.get(name, 0) if mark else 0)
    if not lines and process and process.state == "RUNNING":  # it runs on from before
        lines = written(log, 0)
    return AttemptAnswer(reason=f"supervisord cannot start it: {said}" if is_told else "", lines=lines)


def written(path: Path, seen: int) -> tuple[str, ...]:
    """The end of what a file holds beyond the bytes that were seen."""
    try:
        with path.open("rb") as log:
            log.seek(seen if seen <= path.stat().st_size else 0)  # else a new file has taken its place
            return tuple(log.read().decode(errors="replace").splitlines()[-READ_LINES:])
    except OSError:
        return ()


def main() -> None:
    order = AttemptOrder.from_json(sys.argv[1])
    root = Path(order.root)
    if order.do == "begin":
        print(begin(root).to_json())
    elif order.runner == "systemd":
        print(of_systemd(order.name, order.mark).to_json())
    else:
        print(of_supervisord(root, order.name, order.mark).to_json())
