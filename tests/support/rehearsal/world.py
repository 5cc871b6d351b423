"""All that a rehearsal stands on: a cloud, its machines, the way in, and a stack of this checkout on them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGTERM

from tests.support.arm.host import REPOSITORY, run
from tests.support.fakes.cloud.server import Cloud, running
from tests.support.gcloud_on_cloud import FAB, gcloud_environment
from tests.support.machines.root import make_root
from tests.support.pulumi_stack import PulumiStack
from tests.support.rehearsal.datacenter import Datacenter
from tests.support.rehearsal.google import Certificate
from tests.support.rehearsal.guest import Image
from tests.support.rehearsal.guest_files import Login
from tests.support.rehearsal.tunnels import Tunnels


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What steps use."""

    folder: Path
    cloud: Cloud
    datacenter: Datacenter
    stack: PulumiStack
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """As in the shell of somebody who has logged in with gcloud, whose key is in the usual place."""
        pulumi = self.stack.environment
        return {
            **pulumi,
            **gcloud_environment(self.cloud, self.folder),
            "PATH": os.pathsep.join((str(self.folder / "bin"), pulumi["PATH"])),
            "HOME": str(self.folder / "home"),
            "AXION_PROJECT": str(self.stack.folder),
            "AXION_MODELS": str(self.stack.folder / "models.yaml"),
            "COLUMNS": "140",
        }

    def popen(self, *words: str) -> "subprocess.Popen[str]":
        """Start `fab` or another program; its two outputs are one."""
        directory = REPOSITORY
        if words[0] == "pulumi":
            directory, argv = self.stack.folder, self.stack.command(*words[1:])
        else:
            argv = [FAB, *words[1:]] if words[0] == "fab" else list(words)
        with interrupts_wait():
            process = subprocess.Popen(
                argv,
                cwd=directory, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip
            self.started.append(process)
        return process


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back for the length of a block: what was started is known by then, and can be ended."""
    arrived: list[int] = []
    usual = {number: signal.signal(number, lambda got, _: arrived.append(got)) for number in (SIGINT, SIGTERM)}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    if arrived:
        raise KeyboardInterrupt


def end(process: "subprocess.Popen[str]") -> None:
    """End a command that is still running, with all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def world(
    folder: Path, cli: Path, *, stack: str, layers: tuple[Path, ...] = (), binds: tuple[str, ...] = ()
) -> Iterator[World]:
    """Everything for the length of a block, and nothing afterwards."""
    for name in ("hosts", "home/.ssh"):
        (folder / name).mkdir(parents=True)
    key, certificate = folder / "home" / ".ssh" / "id_ed25519", Certificate(folder)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "someone@example.com", "-f", key, what="make a key")
    certificate.make()
    login = Login(public_key=key.with_suffix(".pub").read_text().strip())
    image = Image(layers=(*layers, make_root("amd64")), login=login, certificate=certificate, binds=binds)
    with running() as cloud:
        datacenter = Datacenter(cloud, folder / "hosts", image)
        tunnels = Tunnels(cloud, datacenter.connect, folder)
        made: World | None = None
        try:
            cloud.state.machines = datacenter
            tunnels.write_gcloud(folder / "bin")
            tunnels.start()
            pulumi = PulumiStack.of_checkout(folder / "stack", cli, cloud, name=stack)
            made = World(folder=folder, cloud=cloud, datacenter=datacenter, stack=pulumi)
            yield made
        finally:
            for process in made.started if made is not None else ():
                end(process)
            tunnels.stop()
            datacenter.close()
