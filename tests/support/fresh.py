"""The README's two commands on a Debian 12 that has git, make and Python, and nothing of ours: `sudo make test-fresh`.

The last commit of this checkout is cloned into a root of its own; as root, `make demo` and then `make test` run in it.
It shares this computer's network, and gets packages from where apt and pip get them here. Archives of Pulumi and gcloud
that this computer has are shown to it; without them it downloads what is pinned. Exits with 1 where a command failed
or a test was left out.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from build.errors import DeployError
from tests.support.arm.root import SUITE, sources
from tests.support.machines.overlay import Overlay
from tests.support.machines.packages import pip_binds, pip_conf, pip_settings
from tests.support.requirements.tools import GCLOUD, KEPT, PULUMI, Tool, archives, find

REPOSITORY = Path(__file__).parents[2]
OUTPUT = REPOSITORY / "out" / "fresh"
PACKAGES = ("ca-certificates", "git", "make", "python3")
CHECKOUT = Path("/srv/axion-deploy")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
BOUND_S = 5400.0
COUNTS = re.compile(r"^=+ (?P<counts>\d+ \w+.* in .*?) =+$")
NOTHING_LEFT_OUT = "Left out: none of "


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended, and what it counted."""

    command: str
    status: int
    took_s: float
    counted: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether it did all that it is for."""
        is_whole = any(line.startswith(NOTHING_LEFT_OUT) for line in self.counted)
        return self.status == 0 and (is_whole or self.command != "make test")

    def __str__(self) -> str:
        return "\n    ".join((f"{self.command}: exit {self.status} after {self.took_s:.0f} s", *self.counted))


def counted(lines: Iterator[str]) -> tuple[str, ...]:
    """What of an output tells how much was done: pytest's closing lines, and how many tests were left out."""
    found = []
    for line in lines:
        if matched := COUNTS.match(line):
            found.append(matched["counts"])
        elif line.startswith("Left out: "):
            found.append(line.strip())
    return tuple(found)


def base() -> Path:
    """A minimal Debian, made once."""
    lines = sources()
    digest = hashlib.sha256("\n".join((*PACKAGES, *lines)).encode()).hexdigest()[:12]
    root = OUTPUT / f"{SUITE}-{digest}"
    if not root.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
        partial = root.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        options = ("--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}")
        subprocess.run(["mmdebstrap", "--quiet", *options, SUITE, str(partial), *lines], check=True, timeout=1800)
        partial.rename(root)
    return root


def furnish(root: Path) -> None:
    """Tell its pip where packages are, and give it the last commit."""
    settings = pip_settings()
    (root / "etc" / "pip.conf").write_text(pip_conf(settings))
    for file in (path for path in pip_binds(settings) if path.is_file()):  # a certificate: apt may replace a copy
        copy = root / file.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    clone = ["git", "clone", "--quiet", "--no-hardlinks", str(REPOSITORY), str(root / CHECKOUT.relative_to("/"))]
    subprocess.run(clone, check=True, timeout=300)


def shown() -> tuple[Mapping[Path, Path], Mapping[str, str]]:
    """Directories and files of this computer that it sees, and the variables that say so."""
    binds = {path: path for path in pip_binds(pip_settings()) if path.is_dir()}
    variables = {name: os.environ[name] for name in PROXIES if name in os.environ}
    for tool in (PULUMI, GCLOUD):
        if place := place_of(tool):
            inside = Path("/srv/tools") / place.name
            binds[place] = inside
            variables[tool.variable] = str(inside)
    return binds, variables


def place_of(tool: Tool) -> Path | None:
    """An archive of it, else the folder where it is installed here."""
    place = next(archives(tool, os.environ, KEPT), None) or find(tool)
    if place is None:
        return None
    return (place.parent if place.name == "bin" else place).resolve()


def container(root: Path) -> tuple[str, ...]:
    """The words in front of a command that is to run in it; all that it starts ends with it."""
    binds, variables = shown()
    return (
        *("setpriv", "--pdeathsig", "TERM", "env", "SYSTEMD_NSPAWN_TMPFS_TMP=0"),  # /tmp is on disk, as installed
        *("systemd-nspawn", "--quiet", f"--directory={root}", f"--machine=axion-fresh-{os.getpid()}"),
        *("--register=no", "--keep-unit", "--as-pid2", "--console=pipe", f"--chdir={CHECKOUT}"),
        *(f"--bind-ro={outside}:{inside}" for outside, inside in binds.items()),
        *(f"--setenv={name}={value}" for name, value in variables.items()),
    )


def run(root: Path, command: str, after: str = "true") -> Ran:
    """Run a command in it as typed, then `after`; its output is shown and kept in out/fresh."""
    print(f"\n$ {command}", flush=True)
    script = f'{command}\nstatus=$?\necho "took $SECONDS s"\n{after}\nexit "$status"'
    log, began = OUTPUT / f"{command.replace(' ', '-')}.log", time.monotonic()
    with subprocess.Popen(
        (*container(root), "bash", "-c", script),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process, log.open("w") as kept:  # fmt: skip
        assert process.stdout is not None
        deadline = threading.Timer(BOUND_S, process.kill)
        deadline.start()
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                kept.write(line)
        finally:
            deadline.cancel()
            process.terminate()
    said = log.read_text()
    took = re.search(r"^took (\d+) s$", said, flags=re.MULTILINE)
    took_s = float(took[1]) if took else time.monotonic() - began
    return Ran(command=command, status=process.returncode, took_s=took_s, counted=counted(iter(said.splitlines())))


@contextmanager
def fresh_root() -> Iterator[Path]:
    """A Debian that nobody has used, for the length of a block."""
    overlay = Overlay(OUTPUT / f"run-{os.getpid()}")
    try:
        overlay.mount((base(),))
        furnish(overlay.root)
        yield overlay.root
    finally:
        overlay.remove()


def main() -> int:
    if subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=REPOSITORY, check=False).returncode != 0:
        print("git: there are uncommitted changes, which are no part of this. Commit them first.", file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whoever cancels it wants nothing left
    try:
        with fresh_root() as root:
            results = [run(root, "make demo", after="make demo-stop"), run(root, "make test")]
    except (DeployError, subprocess.SubprocessError, OSError, KeyboardInterrupt) as error:
        print(f"fresh: {error or 'interrupted'}", file=sys.stderr)
        return 1
    print("\n" + "\n".join(map(str, results)))
    return 0 if all(result.is_good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
