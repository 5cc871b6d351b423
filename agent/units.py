"""What is wrong with our units, by systemd's own word and by their files. Reads only.

A release that is stopped has no trouble.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

from agent.listeners import holder, refusal
from agent.processes import configured, show, socket_addresses
from agent.protocol import Process, ReleaseDescription, RunnerKind, Trouble

UNITS = Path("/etc/systemd/system")
ETC = Path("/etc")
TARGET = "axion.target"
PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,UnitFileState,DropInPaths"
OTHERS = (
    "gateway-restart.service", "gateway-handover.service", "gateway-keys.service", "engine-starter.socket",
    "engine-starter.service", "axion.slice",
)  # fmt: skip
JOURNAL = ("systemd-journald@axion.service", "systemd-journald@axion.socket")
DISTRIBUTION = ("/usr/", "/lib/", "/run/systemd/generator")


def troubles(root: Path, runner: RunnerKind, processes: Mapping[str, Process] | None) -> tuple[Trouble, ...]:
    """All that a person should know of what keeps our processes running."""
    if runner != "systemd":
        return supervised(root, processes)
    files = wanted_files(root)
    if processes is None and not files:
        return ()
    engines = tuple(f"vllm@{name}.service" for name in engines_of(root))
    mount = f"{str(root).strip('/').replace('-', chr(92) + 'x2d').replace('/', '-')}.mount"
    names = (TARGET, "gateway.socket", "gateway.service", *OTHERS, *engines, "vllm@*.service", *JOURNAL, mount)
    units = {unit["Id"]: unit for unit in show(names, PROPERTIES) if "Id" in unit}
    ours = {unit: state for unit, state in units.items() if state["LoadState"] != "not-found"}
    found = [each for unit, state in ours.items() for each in of_unit(unit, state, files)]
    masked = {unit for unit, state in ours.items() if state["LoadState"] == "masked"}
    changed = [(path_unit(path), f"{path} {how}") for path, how in edited(files)]
    return (*found, *(Trouble(unit, "edited", what) for unit, what in changed if unit not in masked))


def of_unit(unit: str, state: dict[str, str], files: dict[Path, str]) -> list[Trouble]:
    found = []
    if state["LoadState"] == "masked":
        found.append(Trouble(unit, "masked", f"masked by hand. Run `systemctl unmask {unit}` there"))
    elif state["LoadState"] != "loaded":
        found.append(Trouble(unit, "failed", f"cannot be read: {state['LoadState']}. Run `fab build-and-deploy`"))
    if unit == TARGET and state["UnitFileState"] == "disabled":
        found.append(Trouble(unit, "disabled", "disabled by hand: nothing starts at the next boot"))
    if state["ActiveState"] == "failed" or (unit == "gateway.service" and state["SubState"] == "auto-restart"):
        found += failed(unit, state)
    for path in shlex.split(state["DropInPaths"]):
        if not path.startswith(DISTRIBUTION) and Path(path) not in files:
            found.append(Trouble(unit, "extended", f"changed by a drop-in that is not of ours, got {path}"))
    return found


def failed(unit: str, state: dict[str, str]) -> list[Trouble]:
    """Why: of the socket that is nearly always its address, and without it the service only follows."""
    if unit == "gateway.service" and any(
        one["ActiveState"] == "failed" for one in show(("gateway.socket",), "ActiveState")
    ):
        return []
    if unit == "gateway.socket" and (taken := [each for each in socket_addresses() if refusal(each) == "EADDRINUSE"]):
        then = ": the gateway then opens its address by itself within seconds"
        return [Trouble(unit, "failed", in_use(address, then)) for address in taken]
    return [Trouble(unit, "failed", f"failed: {state['Result']}. `journalctl -u {unit}` there says more")]


def in_use(address: str, then: str) -> str:
    return f"nobody is served, got {address} in use by {holder(address)}. Stop that program{then}"


def supervised(root: Path, processes: Mapping[str, Process] | None) -> tuple[Trouble, ...]:
    """Of a runner without units: a gateway that keeps ending, where it is its address."""
    gateway = (processes or {}).get("gateway")
    if gateway is None or gateway.state not in ("FATAL", "BACKOFF"):
        return ()
    taken = (address for address in configured(root) if refusal(address) == "EADDRINUSE")
    return tuple(Trouble("gateway", "failed", in_use(each, ", then run `fab restart gateway`")) for each in taken)


def wanted_files(root: Path) -> dict[Path, str]:
    """Where each file of the current release belongs that is systemd's to read, and what it says."""
    found = {}
    for below, base in (("systemd", UNITS), ("etc", ETC)):
        directory = root / "current" / below
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                found[base / path.relative_to(directory)] = path.read_text(errors="replace")
    return found


def edited(files: dict[Path, str]) -> list[tuple[Path, str]]:
    found = []
    for path, text in files.items():
        try:
            if path.read_text(errors="replace") != text:
                found.append((path, "was edited by hand"))
        except OSError:
            found.append((path, "is gone"))
    return found


def path_unit(path: Path) -> str:
    """The unit that a file is of."""
    return path.parent.name.removesuffix(".d") if path.suffix == ".conf" else path.name


def engines_of(root: Path) -> list[str]:
    release = ReleaseDescription.of_file(root / "current" / "release.json")
    return sorted(release.engines) if release else []
