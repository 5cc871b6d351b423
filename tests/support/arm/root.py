"""The emulated machine's files: a small Debian for arm64, made once."""

import os
import shutil

from build.errors import DeployError
from tests.support.arm.host import OUTPUT, run
from tests.support.arm.machine import write_facts

ROOT = OUTPUT / "root"
SUITE = "bookworm"
PYTHON = "3.11"  # that release's
# libnuma1 is what vLLM's kernels link to. No libgomp1: torch brings its own, and there must be one.
PACKAGES = ("python3", "libnuma1", "libstdc++6")
MOUNT_POINTS = ("site", "axion", "shared", "checkout")


def make_root() -> None:
    """Bootstrap it unless it is there, and describe the machine in it."""
    if not ROOT.is_dir():
        partial = ROOT.with_name("root.partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = (
            "mmdebstrap",
            "--mode=root",
            "--arch=arm64",
            "--variant=essential",
            f"--include={','.join(PACKAGES)}",
        )
        run(*command, SUITE, partial, *sources(), what="bootstrap an arm64 Debian", timeout_s=1800)
        for name in MOUNT_POINTS:
            (partial / "srv" / name).mkdir()
        partial.rename(ROOT)
    write_facts(ROOT, len(os.sched_getaffinity(0)))


def sources() -> tuple[str, ...]:
    """Where this machine's apt gets the same release from, as lines of sources.list."""
    form = "deb $(REPO_URI) $(CODENAME) $(COMPONENT)"
    listed = run("apt-get", "indextargets", "--format", form, "Created-By: Packages", what="read apt's sources").stdout
    lines = tuple(line for line in dict.fromkeys(listed.splitlines()) if line.endswith(f" {SUITE} main"))
    if not lines:
        raise DeployError(f"apt: no source of Debian {SUITE} is configured, got none. Run this on Debian 12.")
    return lines
