"""What of ours is in a host's system, outside the root: units, journal, account, processes. Says it, and removes it."""

import gzip
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agent.systemd import ETC, GATEWAYS, KEYS, TARGET, UNITS, installed, is_ours, systemctl

RUN = Path("/run/axion")
SLICE = "axion.slice"
STARTUP = Path("/usr/local/lib/axion")
STARTUP_UNITS = ("axion-idle-stop.timer", "axion-idle-stop.service", "axion-preemption.service")
PRODUCT = Path("/sys/class/dmi/id/product_name")
JOURNALS = (Path("/var/log/journal"), Path("/run/log/journal"), Path("/run/systemd"))
"""Where the journal of a namespace has a directory of its own; the last holds its sockets."""
JOURNALD = ("systemd-journald@axion.service", "systemd-journald@axion.socket", "systemd-journald-varlink@axion.socket")
APT_LOG = Path("/var/log/apt")
OUR_APT = "-o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "
END_S = 720.0
"""A stop waits for requests in flight, as long as the configuration allows."""


def system_goes(user: str) -> "Iterator[str]":
    """What is removed, in words."""
    if jobs := systemctl("list-units", "--plain", "--no-legend", "axion-work-*", is_needed=False).split("\n")[:-1]:
        yield f"jobs that go on: {', '.join(line.split()[0] for line in jobs)}"
    if units := unit_files():
        yield f"{UNITS}: {', '.join(sorted({path.name for path in units if path.parent == UNITS}))}"
    if logs := journals():
        yield f"{', '.join(map(str, logs))}: the logs of engines and gateway"
    if is_made_by_us(user):
        yield f"the system account {user}"
    yield from (f"{path}" for path in startup_files())
    if leftovers := run_files():
        yield f"{RUN}: {', '.join(path.name for path in leftovers)}"


def system_stays(user: str) -> "Iterator[str]":
    """What of a deployment's is not removed, in words."""
    if packages := installed_packages():
        yield f"packages that a deployment installed: {' '.join(packages)}; remove by apt-get what nobody needs"
    if has_account(user) and not is_made_by_us(user):
        yield f"the account {user}: not one that a deployment made"
    if is_google() and STARTUP.is_dir():
        yield f"{STARTUP} and its units: the stack's startup script brings them at every boot, to stop an idle host"


def end(root: Path, *, is_systemd: bool) -> None:
    """End every process of ours and wait for it: the gateway first, so that it drains while its engines serve."""
    if not is_systemd:
        end_supervised(root)
        return
    systemctl("stop", "axion-work-*", is_needed=False)
    systemctl("stop", *filter(is_our_unit, GATEWAYS), is_needed=False)
    systemctl("stop", TARGET, *filter(is_our_unit, [KEYS]), is_needed=False)
    systemctl("stop", SLICE, is_needed=False)  # which all of them are in, whatever became of their files
    if left := sliced():
        sys.exit(f"{SLICE}: its processes do not end: {left}. Look at `systemctl status {SLICE}`.")


def is_our_unit(name: str) -> bool:
    """Whether a unit is ours, or what is left of it: one that runs may have lost its file."""
    path = systemctl("show", "--property=FragmentPath", "--value", name, is_needed=False).strip()
    return not path or not Path(path).is_file() or is_ours(Path(path))


def sliced() -> "list[int]":
    """Every process in the slice of engines and gateway."""
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in numbers if f"/{SLICE}/" in "".join(words_of(pid, "cgroup"))]


def end_supervised(root: Path) -> None:
    """End what a killed runner, or a release that is gone, kept `fab stop` from ending."""
    deadline = time.monotonic() + END_S
    sent = signal.SIGTERM
    while left := supervised(root):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, sent)
        if time.monotonic() > deadline:
            sys.exit(f"{root}: its processes do not end: {left} after {END_S:g} s. Look at them with `ps`.")
        time.sleep(0.2)
        # Asked once, supervisord goes on by itself; what has lost it is asked no more.
        sent = signal.SIGTERM if supervisord(root) else signal.SIGKILL


def supervisord(root: Path) -> int:
    """The runner's number; 0 where it does not run."""
    with suppress(OSError, ValueError):
        pid = int((root / "run" / "supervisord.pid").read_text())
        if f"{root}/current/supervisord.conf" in words_of(pid):
            return pid
    return 0


def supervised(root: Path) -> "list[int]":
    """The runner while there is one, else every process that names this root as ours do."""
    if pid := supervisord(root):
        return [pid]
    marks = (f"{root}/current/gateway.json", f"AXION_UNIT={root}:")
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in numbers if pid != os.getpid() and is_marked(pid, *marks)]


def is_marked(pid: int, config: str, unit: str) -> bool:
    words = words_of(pid)
    # Releases from before agent/launch.py have gateway/launch.py.
    is_launcher = ("agent.launch" in words or "gateway.launch" in words) and config.rpartition("/current/")[0] in words
    return config in words or is_launcher or any(each.startswith(unit) for each in words_of(pid, "environ"))


def words_of(pid: int, file: str = "cmdline") -> "list[str]":
    try:
        return Path(f"/proc/{pid}/{file}").read_text(errors="replace").split("\0")
    except OSError:
        return []


def unit_files() -> "list[Path]":
    """Units and drop-ins, and the drafts of those."""
    drafts = (*UNITS.glob(".*.new"), *UNITS.glob("*.d/.*.new"), *(ETC / "systemd").glob(".journald@*.new"))
    return [*installed(), *filter(is_ours, drafts), *(path for path in startup_files() if path.parent == UNITS)]


def remove_units() -> None:
    startup = [path for path in startup_files() if path.parent == UNITS]
    if startup:
        systemctl("disable", "--now", *(path.name for path in startup), is_needed=False)
    if (UNITS / TARGET).exists():
        systemctl("disable", "--quiet", TARGET)
    (UNITS / "multi-user.target.wants" / TARGET).unlink(missing_ok=True)
    found = unit_files()
    for path in found:
        path.unlink()
        if path.parent != UNITS and path.parent.name.endswith(".d") and not any(path.parent.iterdir()):
            path.parent.rmdir()
    if STARTUP.is_dir() and not is_google():
        shutil.rmtree(STARTUP)
    systemctl("daemon-reload")
    systemctl("reset-failed", "vllm@*", *GATEWAYS, "axion-work-*", is_needed=False)


def startup_files() -> "list[Path]":
    """What a stack's startup script put on a machine that is none of Google's: there nothing brings it again."""
    if is_google():
        return []
    units = [path for name in STARTUP_UNITS for path in (UNITS / name,) if path.is_file()]
    return [*units, *([STARTUP] if STARTUP.is_dir() else [])]


def is_google() -> bool:
    try:
        return PRODUCT.read_text().startswith("Google Compute Engine")
    except OSError:
        return False


def remove_journal() -> None:
    """End the journal of our own namespace, then forget what it kept."""
    systemctl("stop", *JOURNALD, is_needed=False)
    for path in journals():
        shutil.rmtree(path)


def journals() -> "list[Path]":
    return [path for folder in JOURNALS for path in sorted(folder.glob("*.axion")) if path.is_dir()]


def run_files() -> "list[Path]":
    """What is in memory for us; the idle stop's record is the startup script's."""
    return [path for path in sorted(RUN.glob("*")) if path.name != "idle.json" or not is_google()]


def remove_run() -> None:
    for path in run_files():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    with suppress(OSError):
        RUN.rmdir()


def has_account(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def is_made_by_us(user: str) -> bool:
    """Whether an account is as a deployment makes it: a person's has a home, and a shell."""
    return has_account(user) and pwd.getpwnam(user).pw_dir == "/nonexistent" and pwd.getpwnam(user).pw_uid < 1000


def remove_account(user: str) -> None:
    if not is_made_by_us(user):
        return
    done = subprocess.run(("userdel", user), capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        said = " ".join(done.stderr.split()).rstrip(".")
        sys.exit(f"userdel {user}: failed: {said}. End its processes, and run `fab uninstall` again.")


def installed_packages() -> "list[str]":
    """Those that a deployment asked apt for and that are still there, by apt's own log."""
    found: set[str] = set()
    for path in sorted(APT_LOG.glob("history.log*")):
        try:
            text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except (OSError, EOFError, zlib.error):
            continue  # a log that cannot be read tells of none
        for line in re.findall(r"^Commandline: (.*)$", text.decode(errors="replace"), re.MULTILINE):
            found |= set(line.partition(OUR_APT)[2].split())
    return sorted(name for name in found if is_installed(name))


def is_installed(package: str) -> bool:
    asked = ("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", package)
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.startswith("ii")
