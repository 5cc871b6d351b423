"""What the x86 machine needs to run Arm programs, and how it becomes as it was."""

import fcntl
import os
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from build.command import Command, Result
from build.errors import DeployError
from build.executor import LocalExecutor, check

REPOSITORY = Path(__file__).parents[2]
OUTPUT = REPOSITORY / "out" / "arm"
PACKAGES = ("arch-test", "binutils", "clang-19", "g++-12-aarch64-linux-gnu", "lld-19", "mmdebstrap", "qemu-user-static")
BINFMT = Path("/proc/sys/fs/binfmt_misc")
HANDLER = "qemu-aarch64"  # as Debian's packages call it


def run(*argv: str | Path, what: str, timeout_s: float = 60.0) -> Result:
    """Run a command that has to succeed."""
    return check(LocalExecutor(), Command(argv=tuple(map(str, argv)), what=what, timeout_s=timeout_s))


def refuse_other_machines() -> None:
    """Raise DeployError where this cannot work, with every reason."""
    problems = []
    if os.geteuid() != 0:
        problems.append(f"user: a root filesystem needs root to be made and entered, got uid {os.geteuid()}. Use sudo.")
    if platform.machine() != "x86_64":
        problems.append(f"machine: emulation is for x86_64, got {platform.machine()}. On Arm run `make test-kernels`.")
    if problems:
        raise DeployError(*problems)


def install_packages() -> None:
    run("bash", REPOSITORY / "kernels" / "packages.sh", *PACKAGES, what="install what emulation needs", timeout_s=900)


@contextmanager
def arm_programs_run() -> Iterator[None]:
    """Let the kernel start Arm programs by qemu, and afterwards no longer, unless it did before.

    One at a time in a checkout: the first to end would take the handler from the other.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run that is cancelled cleans up as well
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with (OUTPUT / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeployError("out/arm: another emulation runs in this checkout, got its lock. Wait for it.") from None
        with _mounted(), _registered():
            yield


@contextmanager
def _mounted() -> Iterator[None]:
    if (BINFMT / "register").exists():
        yield
        return
    run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT, what="mount binfmt_misc")
    try:
        yield
    finally:
        run("umount", BINFMT, what="unmount binfmt_misc")


@contextmanager
def _registered() -> Iterator[None]:
    entry = BINFMT / HANDLER
    # F: the interpreter is opened now, so that programs find it in a root that does not hold it.
    if entry.exists():
        if not any(line.startswith("flags:") and "F" in line for line in entry.read_text().splitlines()):
            raise DeployError(f"binfmt_misc: {HANDLER} has no flag F. Remove it: `echo -1 > {entry}`, and try again.")
        yield
        return
    (BINFMT / "register").write_bytes(Path(f"/usr/lib/binfmt.d/{HANDLER}.conf").read_bytes())
    try:
        yield
    finally:
        entry.write_text("-1")
