"""Stand-ins for `systemd-run` and `systemctl` that know transient services only: state is files, units are processes.

Run as a program with the name of the tool first; the directory of the state is $FAKE_SYSTEMD.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def install(folder: Path) -> dict[str, str]:
    """Put both tools into a directory; returns the environment that finds them."""
    (folder / "units").mkdir(parents=True)
    for name in ("systemctl", "systemd-run"):
        tool = folder / name
        tool.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I -S '{__file__}' {name} \"$@\"\n")
        tool.chmod(0o755)
    run = folder / "run"
    path = f"{folder}:{os.environ['PATH']}"
    return {"PATH": path, "FAKE_SYSTEMD": str(folder / "units"), "AXION_RUN": str(run)}


def read(unit: Path) -> dict[str, str]:
    """What is known of a unit, in systemd's words."""
    if not unit.exists():
        return {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    known = json.loads(unit.read_text())
    if (status := unit.with_suffix(".status")).exists():
        code = int(status.read_text())
        result = {0: "success"}.get(code, "exit-code" if code > 0 else "signal")
        return {
            "ActiveState": "inactive" if code == 0 else "failed",
            "Result": result,
            "ExecMainStatus": str(abs(code)),
        }
    return {"ActiveState": "active", "Result": "success", "ExecMainStatus": "0", "pid": str(known["pid"])}


def systemctl(folder: Path, words: list[str]) -> None:
    unit = folder / words[-1]
    if words[0] == "show":
        print("\n".join(f"{key}={value}" for key, value in read(unit).items()))
    elif words[0] == "stop":
        state = read(unit)
        if "pid" in state:
            os.killpg(int(state["pid"]), signal.SIGKILL)
            while read(unit)["ActiveState"] == "active":
                time.sleep(0.02)
    elif words[0] == "reset-failed":
        unit.unlink(missing_ok=True)
        unit.with_suffix(".status").unlink(missing_ok=True)


def systemd_run(folder: Path, words: list[str]) -> None:
    """Start the command away from us, with somebody who writes down how it ended."""
    options = [word for word in words if word.startswith("--")]
    command = words[len(options) :]
    unit = folder / next(word.partition("=")[2] for word in options if word.startswith("--unit="))
    assert read(unit)["ActiveState"] == "inactive", f"{unit.name} is there already"
    credentials = Path(f"{unit}.credentials")
    credentials.mkdir(exist_ok=True)
    for word in options:
        if word.startswith("--property=LoadCredential="):
            name, _, source = word.removeprefix("--property=LoadCredential=").partition(":")
            (credentials / name).write_text(Path(source).read_text())
    unit.with_suffix(".options").write_text("\n".join(options))
    if os.fork() != 0:
        while not unit.exists():
            time.sleep(0.01)
        return
    os.setsid()
    log = unit.with_suffix(".journal").open("w")
    process = subprocess.Popen(
        command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        env={**os.environ, "CREDENTIALS_DIRECTORY": str(credentials)},
    )  # fmt: skip
    for stream in (0, 1, 2):
        os.close(stream)
    unit.write_text(json.dumps({"pid": process.pid}))
    unit.with_suffix(".status").write_text(str(process.wait()))
    os._exit(0)


if __name__ == "__main__":
    {"systemctl": systemctl, "systemd-run": systemd_run}[sys.argv[1]](Path(os.environ["FAKE_SYSTEMD"]), sys.argv[2:])
