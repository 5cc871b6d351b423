"""Tell systemd what to do; print nothing. Exit status 1 with a sentence when it cannot.

  install         account, directories, and the units of `<root>/current`; reads the configuration again if needed
  keys            bring the keys that clients must send, if the release asks for any
  start NAME ...  start what does not run: engines, "gateway", or nothing named for all; does not wait
  restart NAME    restart an engine, does not wait; the gateway: hand over to a second one, and wait
  stop NAME ...   end engines on demand and wait; the gateway has them started again
  reload          have the gateway read its configuration again
  leave           end engines that the release does not have, and wait
  shutdown        end everything and wait: the gateway first, so that it drains while its engines still serve

Every change is a job of systemd's own: whoever asked for it may die, and it is carried out all the same.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from agent.durable import replace_files, settle
from agent.listeners import addresses_of
from agent.protocol import GatewayFile, ReleaseDescription, RunnerOrder
from agent.room import refuse_full

UNITS = Path("/etc/systemd/system")
ETC = Path("/etc")
OURS = "# rendered from templates/systemd/"
TARGET = "axion.target"
KEYS = "gateway-keys.service"
KEY_PROBLEMS = Path("/run/axion/gateway-key-digests.problems")
"""As that unit's program, agent/secrets.py, writes it."""
GATEWAYS = ("gateway.socket", "gateway-restart.service", "gateway-handover.service", "gateway.service")
STARTER = ("engine-starter.socket", "engine-starter.service")
GATEWAY_HOLDERS = ("gateway-handover.service", "gateway.service", "gateway.socket")
GATEWAY_UNITS = ("gateway.socket", "gateway.service")
SYSTEMD_PID = 1
CALL_TIMEOUT_S = 700
"""A stop waits for requests in flight, as long as the configuration allows."""


def systemctl(*words: str, is_needed: bool = True) -> str:
    done = subprocess.run(("systemctl", *words), capture_output=True, text=True, check=False, timeout=CALL_TIMEOUT_S)
    if is_needed and done.returncode:
        said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        sys.exit(f"systemctl {' '.join(words)}: failed: {said}. Look at `systemctl status axion.target`.")
    return done.stdout


def engine(name: str) -> str:
    return f"vllm@{name}.service"


def install(root: Path, user: str) -> None:
    current = (root / "current").resolve()
    engines = set(engines_of(current))
    own(root, user, engines)
    readable(current)
    wanted = files_of(current)
    stale = [path for path in installed() if path not in wanted]
    if UNITS / STARTER[0] in stale:  # no release may have it open that does not list it
        systemctl("stop", *STARTER, is_needed=False)
    written = write(wanted)
    for path in stale:
        path.unlink()
        if path.parent != UNITS and not any(path.parent.iterdir()):
            path.parent.rmdir()
    names = [path.name for path in wanted if path.parent == UNITS and "@" not in path.name]
    outdated = systemctl("show", "--property=NeedDaemonReload", "--value", *names, *map(engine, sorted(engines)))
    if written or stale or "yes" in outdated.split():
        systemctl("daemon-reload")
    if ETC / "systemd" / "journald@axion.conf" in written:
        systemctl("try-restart", "systemd-journald@axion.service", is_needed=False)
    if not (UNITS / "multi-user.target.wants" / TARGET).is_symlink():
        systemctl("enable", "--quiet", TARGET)
    if UNITS / STARTER[0] in wanted and systemctl("is-active", TARGET, is_needed=False).strip() == "active":
        systemctl("start", STARTER[0])  # the target, which wants it, is only started where it is not active
    for each in (root, UNITS):  # directories and links as well, before anything is started from them
        settle(each)


def engines_of(release: Path) -> list[str]:
    return sorted(ReleaseDescription.from_json((release / "release.json").read_bytes()).engines)


def own(root: Path, user: str, engines: set[str]) -> None:
    """Make the account that engines and gateway run as, and what alone it may write."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        words = ("--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")
        made = subprocess.run(
            ("useradd", *words, "--shell", "/usr/sbin/nologin", user), capture_output=True, text=True, check=False
        )
        if made.returncode:
            sys.exit(f"useradd {user}: failed: {made.stderr.strip()}. Make that system account by hand.")
        account = pwd.getpwnam(user)
    for path in (root / "state", root / "logs"):
        if not path.is_dir():  # of one that somebody else made, the mode is that one's: /var/tmp is one such
            path.mkdir()
            path.chmod(0o755)
    below = root / "state"
    below.chmod(below.stat().st_mode | 0o011)  # or a stern umask of before keeps engines from their own
    for path, mode in ((root / "run", 0o750), *((below / name, 0o700) for name in ("gateway", *sorted(engines)))):
        path.mkdir(mode=mode, exist_ok=True)
        path.chmod(mode)
        os.chown(path, account.pw_uid, account.pw_gid)


def readable(release: Path) -> None:
    """Let the account read what it runs: a host whose umask is 077 makes everything for root alone."""
    for path in (release, (release / "build").resolve(), release.parent, (release / "build").resolve().parent):
        path.chmod(path.stat().st_mode | 0o055)
    venv = (release / "build" / "venv").resolve()
    if venv.is_dir() and any(path.stat().st_mode & 0o055 != 0o055 for path in (venv, venv / "lib")):
        subprocess.run(("chmod", "-R", "go+rX", "--", str(venv)), check=True, timeout=CALL_TIMEOUT_S)


def files_of(release: Path) -> dict[Path, str]:
    """Where each file of a release belongs that is systemd's to read, and what it says."""
    found = {}
    for below, base in (("systemd", UNITS), ("etc", ETC)):
        directory = release / below
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                found[base / path.relative_to(directory)] = path.read_text()
    return found


def installed() -> list[Path]:
    """Units and drop-ins that an earlier release put there."""
    found = [*UNITS.glob("*.*"), *UNITS.glob("*.d/*.conf"), *(ETC / "systemd").glob("journald@*.conf")]
    return [path for path in found if path.is_file() and not path.is_symlink() and is_ours(path)]


def is_ours(path: Path) -> bool:
    with path.open(errors="replace") as file:
        return file.readline().startswith(OURS)


def write(wanted: dict[Path, str]) -> list[Path]:
    """Replace each file that says something else, all of them or, on a full disk, none; return those."""
    new = {
        path: text for path, text in wanted.items() if not path.is_file() or path.read_text(errors="replace") != text
    }
    for path in new:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    replace_files(new, mode=0o644)
    return list(new)


def bring_keys() -> None:
    if not (UNITS / KEYS).is_file():
        return
    try:
        systemctl("restart", KEYS)  # and not start: one that failed is waiting for its next try
    except SystemExit:
        if KEY_PROBLEMS.is_file():  # it says what is wrong with the list, and systemd that something is
            sys.exit(KEY_PROBLEMS.read_text(encoding="utf-8").strip())
        raise


def start(root: Path, names: list[str]) -> None:
    engines = [engine(name) for name in names if name != "gateway"]
    if "gateway" in names or not names:
        drop_lost_sockets(root)
    if engines:  # one call: they are started in the order that their units say
        systemctl("reset-failed", *engines, is_needed=False)
        # And not start: one that kept ending when it was looked at, systemd may have started again before the switch.
        systemctl("restart", "--no-block", *engines)
    if "gateway" in names:
        systemctl("reset-failed", *GATEWAY_UNITS, is_needed=False)
        systemctl("start", "--no-block", *GATEWAY_UNITS)
    if not names or systemctl("is-active", TARGET, is_needed=False).strip() != "active":
        # By name: a pattern leaves out what is stopped, whose starts count on, and the sixth deployment would fail.
        systemctl("reset-failed", *GATEWAYS, *map(engine, engines_of(root / "current")), is_needed=False)
        systemctl("start", "--no-block", TARGET)


def restart(root: Path, name: str) -> None:
    refuse_full(root)
    if name != "gateway":
        systemctl("reset-failed", engine(name), is_needed=False)  # or the fifth deployment in half an hour would fail
        systemctl("restart", "--no-block", engine(name))
    elif is_held(root):
        systemctl("start", "gateway-restart.service")
    else:  # other addresses: systemd opens them only while nobody uses the old ones
        systemctl("stop", *GATEWAY_HOLDERS)
        systemctl("reset-failed", *GATEWAYS, is_needed=False)
        systemctl("start", *GATEWAY_UNITS)


def drop_lost_sockets(root: Path) -> None:
    """End a socket that systemd calls open and does not hold: its file was gone, or masked, when all was read again."""
    if systemctl("is-active", "gateway.socket", is_needed=False).strip() == "active" and not is_held(root):
        systemctl("stop", *GATEWAY_HOLDERS)


def is_held(root: Path) -> bool:
    """Whether systemd itself, and not only a gateway that it passed them to, has the sockets that are wanted."""
    config = GatewayFile.from_json((root / "current" / "gateway.json").read_bytes())
    return set(config.addresses) <= set(addresses_of(SYSTEMD_PID))


def leave(root: Path) -> None:
    """One that keeps failing has no process at most times: systemd knows it all the same."""
    engines = engines_of(root / "current")
    listed = systemctl("list-units", "--all", "--plain", "--no-legend", "vllm@*.service")
    gone = [line.split()[0] for line in listed.splitlines() if line.split()[0][5:-8] not in engines]
    if gone:
        systemctl("stop", *gone)
        systemctl("reset-failed", *gone, is_needed=False)


def shutdown() -> None:
    systemctl("stop", *GATEWAYS, *([KEYS] if (UNITS / KEYS).is_file() else []))
    starter = STARTER if (UNITS / STARTER[0]).is_file() else ()
    systemctl("stop", *starter, TARGET, "vllm@*", "axion.slice")
    systemctl("reset-failed", *GATEWAYS, "vllm@*", is_needed=False)


def main() -> None:
    order = RunnerOrder.from_json(sys.argv[1])
    root = Path(order.root)
    verbs: dict[str, Callable[..., object]] = {
        "install": lambda: install(root, order.user),
        "start": lambda *names: start(root, list(names)),
        "restart": lambda name: restart(root, name),
        "stop": lambda *names: systemctl("stop", *map(engine, names)),
        "reload": lambda: systemctl("reload", "gateway.service"),
        "keys": bring_keys,
        "leave": lambda: leave(root),
        "shutdown": shutdown,
    }
    try:
        for step in order.steps:
            verbs[step.do](*step.names)
    except (OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
        sys.exit(f"systemd: cannot be controlled: {error}. Look at `systemctl status axion.target`.")
