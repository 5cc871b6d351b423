"""One host: boot it, log in, take its power away, throw it away.

It shares this machine's network, so its sshd and whatever is deployed to it listen on loopback here, unless it is
given a network namespace.
"""

import hashlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from build.errors import DeployError
from tests.support.machines import cgroups
from tests.support.machines.access import Access
from tests.support.machines.disk import Disk
from tests.support.machines.overlay import Overlay
from tests.support.machines.packages import pip_binds, pip_conf, pip_settings
from tests.support.machines.root import OUTPUT, Architecture, make_root
from tests.support.processes import Process, everything

HOSTS = OUTPUT / "hosts"
BOOT_BOUND_S = {"amd64": 60.0, "arm64": 240.0}


class Machine:
    """A host by its name; everything of it is in one directory, and nothing is left of it after `remove`."""

    def __init__(
        self,
        name: str,
        *,
        port: int,
        architecture: Architecture = "amd64",
        layers: Sequence[Path] = (),
        binds: Mapping[Path, str] = MappingProxyType({}),
        kept: Mapping[Path, str] = MappingProxyType({}),
        namespace: str | None = None,
        address: str = "127.0.0.1",
        disk: Disk | None = None,
    ) -> None:
        """`layers` lie over Debian's files and `binds` over those, nobody writes to either; to what is `kept` it does.

        `address` is where sshd listens in the network `namespace`. What the host writes is kept on its `disk`, if it
        has one.
        """
        self.name, self.architecture, self.layers, self.namespace = name, architecture, tuple(layers), namespace
        self.directory = HOSTS / name
        self.access = Access(directory=self.directory, port=port, address=address)
        self.binds, self.kept = dict(binds), dict(kept)
        self._process: subprocess.Popen[bytes] | None = None
        self.disk = disk
        self.overlay = Overlay(self.directory, disk.files if disk else None)

    @property
    def root(self) -> Path:
        """Its files as this machine sees them."""
        return self.overlay.root

    @property
    def group(self) -> str:
        """Its control group: another checkout may have a host of that name."""
        return f"{self.name}-{hashlib.sha256(str(self.directory).encode()).hexdigest()[:6]}"

    @property
    def console(self) -> Path:
        return self.directory / "console.log"

    @property
    def nspawn(self) -> Process | None:
        """What runs it; None while it is off."""
        marks = (f"--directory={self.root} ",)
        found = [each for each in everything() if all(mark in f"{each.command} " for mark in marks)]
        pids = {each.pid for each in found}
        return next((each for each in found if each.parent not in pids), None)

    @property
    def init(self) -> Process | None:
        """Its first process."""
        runner = self.nspawn
        return next((each for each in everything() if runner and each.parent == runner.pid), None)

    def create(self) -> None:
        """Lay out its files; the keys are new for each host."""
        self.remove()
        self.directory.mkdir(parents=True)
        self.access.make()
        if self.disk is not None:
            self.disk.make()
            self.disk.mount()
        self.overlay.mount((*self.layers, make_root(self.architecture)))
        self.access.install(self.root)
        (self.root / "etc" / "hostname").write_text(f"{self.name}\n")
        (self.root / "etc" / "hosts").write_text(f"127.0.0.1 localhost {self.name}\n::1 localhost\n")
        (self.root / "etc" / "pip.conf").write_text(pip_conf(pip_settings()))

    def boot(self, *, is_detached: bool = False) -> None:
        """Switch it on and wait until one can log in. Unless detached it dies with this process."""
        self.overlay.mount((*self.layers, make_root(self.architecture)))
        shown = {path: str(path) for path in pip_binds(pip_settings())} | self.binds
        binds = [f"--bind-ro={path}:{inside}" for path, inside in shown.items()]
        binds += [f"--bind={path}:{inside}" for path, inside in self.kept.items()]
        cgroups.make_groups(self.group)
        command = (
            *(() if is_detached else ("setpriv", "--pdeathsig", "TERM")),  # on which it powers off
            *cgroups.enter_command(self.group),
            *("systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self.name}", "--boot"),
            # The init of this machine may be another one: ask nothing of it.
            *("--register=no", "--keep-unit", "--console=pipe", *binds),
            # A unit with PrivateNetwork= has a loopback interface only where somebody may switch it on.
            "--capability=CAP_NET_ADMIN",
            *((f"--network-namespace-path=/run/netns/{self.namespace}",) if self.namespace else ()),
        )
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        self._wait(self.answers, "one can log in", BOOT_BOUND_S[self.architecture])

    def answers(self) -> bool:
        return self.access.answers()

    def inventory(self, **changes: object) -> Path:
        """Write down how `fab` reaches it."""
        return self.access.write_inventory(self.directory / "inventory.json", self.name, **changes)

    def run(self, *argv: str, timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a program in it without its sshd, whose death is what some tests are about."""
        init = self.init
        assert init is not None, f"{self.name} is off"
        command = ("nsenter", f"--target={init.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--", *argv)
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)

    def output(self, *argv: str, timeout_s: float = 60) -> str:
        """Run a program in it that has to succeed."""
        done = self.run(*argv, timeout_s=timeout_s)
        assert done.returncode == 0, f"{argv}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout

    def poweroff(self) -> None:
        """Have it end everything in good order."""
        self.run("systemctl", "poweroff")
        self._wait(lambda: self.nspawn is None, "it is off", 90)

    def cut(self) -> None:
        """Take its power away: nothing in it gets to do anything more."""
        self._wait(lambda: not cgroups.kill(self.group), "it is off", 30)
        cgroups.remove_groups(self.group)

    def lose_what_is_not_on(self, copy: Path) -> None:
        """Take its power away, with all that its disk had not been told when `copy` was made of it."""
        assert self.disk is not None, "it has a disk of its own"
        self.cut()
        self.overlay.unmount()
        self.disk.replace_by(copy)

    def reboot(self) -> None:
        """Have it end everything in good order and start again."""
        self.run("systemctl", "reboot")
        # Beside an init that is not systemd, nspawn leaves the second half to whoever started it.
        self._wait(lambda: self.nspawn is None, "it is off", 90)
        self.boot()

    def remove(self) -> None:
        """Leave nothing of it."""
        self.cut()
        self.overlay.remove()
        if self.disk is not None:
            self.disk.remove()

    def _wait(self, condition: Callable[[], bool], what: str, bound_s: float) -> None:
        deadline = time.monotonic() + bound_s
        while not condition():
            if time.monotonic() > deadline:
                raise DeployError(f"{self.name}: not within {bound_s:g} s: {what}. Read {self.console}.")
            if self._process is not None:
                self._process.poll()  # it leaves no zombie
            time.sleep(0.05)


@contextmanager
def booted(machine: Machine) -> Iterator[Machine]:
    """A host for the length of a block, gone afterwards."""
    try:
        machine.create()
        machine.boot()
        yield machine
    finally:
        machine.remove()
