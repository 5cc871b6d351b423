"""The files of a fresh Debian host, made once for each list of packages."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from build.errors import DeployError
from tests.support.arm.host import REPOSITORY, run
from tests.support.arm.root import SUITE, sources

Architecture = Literal["amd64", "arm64"]
OUTPUT = REPOSITORY / "out" / "machines"
ROOTS = OUTPUT / "roots"
TOOLS = ("mmdebstrap", "systemd-container", "openssh-client")
# What Google's Debian and Ubuntu images have of the things a deployment uses, and nothing of what it has to bring: no
# compiler, no venv, no headers, no libnuma.
IMAGE = (
    *("ca-certificates", "curl", "dbus", "e2fsprogs", "iproute2"),
    *("libpam-systemd", "netbase", "openssh-server", "procps", "python3", "sudo", "systemd", "systemd-sysv", "udev"),
)
BOUND_S = 3600.0


def make_root(architecture: Architecture) -> Path:
    """Return a root that nobody may write to, bootstrapping it where it is missing. Idempotent, also side by side."""
    digest = hashlib.sha256("\n".join((SUITE, architecture, *IMAGE)).encode()).hexdigest()[:12]
    root = ROOTS / f"{architecture}-{digest}"
    with one_at_a_time(root):
        if not root.is_dir():
            refuse_without_root()
            script = REPOSITORY / "kernels" / "packages.sh"
            run("bash", script, *TOOLS, what="install what makes hosts", timeout_s=900)
            partial = root.with_suffix(f".{os.getpid()}")
            _bootstrap(architecture, partial)
            partial.rename(root)
    return root


def refuse_without_root() -> None:
    if os.geteuid() != 0:
        raise DeployError(f"user: a host's files need root to be made and booted, got uid {os.geteuid()}. Use sudo.")


def _bootstrap(architecture: Architecture, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    options = ("--mode=root", f"--arch={architecture}", "--variant=apt", f"--include={','.join(IMAGE)}")
    what = f"bootstrap a Debian host for {architecture}"
    try:
        run("mmdebstrap", *options, SUITE, root, *sources(), what=what, timeout_s=BOUND_S)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise
    for key in (root / "etc" / "ssh").glob("ssh_host_*"):
        key.unlink()  # each host has its own
    (root / "etc" / "machine-id").write_text("")


@contextmanager
def one_at_a_time(made: Path) -> Iterator[None]:
    """Let one process at a time look whether a directory is there, and make it."""
    made.parent.mkdir(parents=True, exist_ok=True)
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_once(layer: Path, make: Callable[[Path], object]) -> Path:
    """Return a directory, made as a draft where it is missing: nobody sees half of it."""
    with one_at_a_time(layer):
        if not layer.is_dir():
            draft = layer.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            make(draft)
            draft.rename(layer)
    return layer
