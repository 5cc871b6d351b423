"""What the x86 machine needs to run Arm programs, and how it becomes as it was."""

import fcntl
import os
import platform
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from build.errors import DeployError
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, check

REPOSITORY = Path(__file__).parents[3]
OUTPUT = REPOSITORY / "out" / "arm"
PACKAGES = ("arch-test", "binutils", "clang-19", "g++-12-aarch64-linux-gnu", "lld-19", "mmdebstrap", "qemu-user-static")
BINFMT = Path("/proc/sys/fs/binfmt_misc")
HOLDERS = Path("/run/lock/axion-emulation")
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

    One at a time in a checkout. Other checkouts may emulate as well: whoever ends last takes the handler away.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run that is cancelled cleans up as well
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with (OUTPUT / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeployError("out/arm: another emulation runs in this checkout, got its lock. Wait for it.") from None
        with shared(HOLDERS, "mount", _mount, _unmount), shared(HOLDERS, "handler", _register, _unregister):
            yield


@contextmanager
def shared(holders: Path, name: str, bring: Callable[[], bool], take_away: Callable[[], None]) -> Iterator[None]:
    """Have the first of several processes bring something and the last take it away.

    `bring` says whether it was not there: what was is left. The marks in the directory `holders` outlive whoever set
    them, and the locks do not.
    """
    holders.mkdir(parents=True, exist_ok=True)
    mark = holders / f"{name}.brought"
    with (holders / f"{name}.turn").open("w") as turn, (holders / f"{name}.used").open("w") as used:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(used, fcntl.LOCK_SH)
        if bring():
            mark.touch()
        fcntl.flock(turn, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(turn, fcntl.LOCK_EX)
            try:
                fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass  # somebody else still needs it
            else:
                if mark.exists():
                    take_away()
                    mark.unlink()


def _mount() -> bool:
    if (BINFMT / "register").exists():
        return False
    run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT, what="mount binfmt_misc")
    return True


def _unmount() -> None:
    run("umount", BINFMT, what="unmount binfmt_misc")


def _register() -> bool:
    entry = BINFMT / HANDLER
    # F: the interpreter is opened now, so that programs find it in a root that does not hold it.
    if entry.exists():
        if not any(line.startswith("flags:") and "F" in line for line in entry.read_text().splitlines()):
            raise DeployError(f"binfmt_misc: {HANDLER} has no flag F. Remove it: `echo -1 > {entry}`, and try again.")
        return False
    (BINFMT / "register").write_bytes(Path(f"/usr/lib/binfmt.d/{HANDLER}.conf").read_bytes())
    return True


def _unregister() -> None:
    (BINFMT / HANDLER).write_text("-1")
