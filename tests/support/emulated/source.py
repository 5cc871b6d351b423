"""The rehearsal of a source build: its mirror, what of the pins has to give way to it, its steps and what they took."""

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from build.deploy.packages import install_command, update_command
from build.engine.needs import TO_COMPILE, VENV
from build.pins import PINS, Pins, load_pins
from tests.support.arm.host import OUTPUT, REPOSITORY, run
from tests.support.emulated import served
from tests.support.emulated.steps import GATE_S, GATES, Rehearsal
from tests.support.machines.compiler import VERSION
from tests.support.processes import tree

MIRROR = "/srv/mirror"
SDISTS = OUTPUT / "sdists"
# Outlives the host, so that a rehearsal that was cut off goes on where it was. It is keyed by what is compiled.
CCACHE = OUTPUT / "ccache"
CCACHE_ON_HOST = "/opt/axion/work/ccache"
SAMPLE_S = 2.0
APT_BOUND_S = 3600.0
# Debian 12's; the pins ask for one that Ubuntu 24.04 has.
GCC = "12.2"


def mirror_problems(mirror: str, pins: Pins) -> Iterator[str]:
    """Say what is missing in a mirror, all of it."""
    if not mirror:
        yield "AXION_MIRROR: not set, got nothing. Name a directory with git/onednn.git and git/acl.git."
        return
    for name, pinned in pinned_commits(pins).items():
        repository = Path(mirror) / "git" / f"{name}.git"
        if not repository.is_dir():
            yield f"AXION_MIRROR: no repository, got nothing at {repository}. Clone it there with --bare."
        elif offered(repository, pinned) is None:
            yield f"{repository}: a commit is missing, got neither {pinned} nor a HEAD. Fetch the first there."
        elif not _offers_any_commit(repository):
            yield (
                f"{repository}: a commit cannot be fetched by its name: no uploadpack.allowAnySHA1InWant. "
                f"Run `git -C {repository} config uploadpack.allowAnySHA1InWant true`."
            )


def pinned_commits(pins: Pins) -> dict[str, str]:
    """What is asked for, by repository."""
    assert pins.acl.commit is not None, f"{PINS}: the Arm Compute Library has no commit"
    return {"onednn": pins.onednn.aarch64, "acl": pins.acl.commit}


def offered(repository: Path, pinned: str) -> str | None:
    """What a mirror has of it: the pinned commit, else its HEAD, by which a mirror brings a pair that fits together."""
    return commit_of(repository, pinned) or commit_of(repository, "HEAD")


def commit_of(repository: Path, name: str) -> str | None:
    """The commit of that name, if it is there."""
    command = ("git", "-C", repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip() or None


def _offers_any_commit(repository: Path) -> bool:
    command = ("git", "-C", repository, "config", "--bool", "uploadpack.allowAnySHA1InWant")
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip() == "true"


def fetch_sdist() -> None:
    """Put vLLM's pinned archive where the host looks for it. pip would run it first, to learn its name."""
    vllm = load_pins(PINS).vllm
    if (SDISTS / f"vllm-{vllm.version}.tar.gz").is_file():
        return
    SDISTS.mkdir(parents=True, exist_ok=True)
    listed = SDISTS / "vllm.txt"
    listed.write_text(f"vllm=={vllm.version} --hash=sha256:{vllm.sdist_sha256}\n")
    tools = OUTPUT / "sdist-tools"
    pip = (served.engine_python(), "-P", "-m", "pip")
    quiet = ("--disable-pip-version-check", "--no-input", "--quiet", "--no-deps")
    wanted: tuple[str | Path, ...] = ("--target", tools, *vllm.build_requires)
    run(*pip, "install", *quiet, *wanted, what="install what names vLLM's sources", timeout_s=600)
    environment = (f"PYTHONPATH={tools}", "VLLM_TARGET_DEVICE=empty", f"VLLM_VERSION_OVERRIDE={vllm.version}")
    download = ("download", *quiet, "--no-binary", "vllm", "--no-build-isolation", "--require-hashes")
    words = ("env", *environment, *pip, *download, "--dest", SDISTS, "--requirement", listed)
    run(*words, what="download vLLM's sources", timeout_s=900)


def adapted_checkout(target: Path, mirror: Path, *, say: Callable[[str], None]) -> Path:
    """Copy the checkout, with pins that fit the mirror and the host; says aloud what is not as pinned."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=REPOSITORY, capture_output=True, check=True, timeout=60)
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target / name)
    pins, file = load_pins(PINS), target / "build" / "pins.toml"
    text = re.sub(r"(?m)^gcc_min = .*$", f'gcc_min = "{GCC}"', file.read_text())
    say(f"Not as pinned: g++ {GCC}, Debian 12's, where {pins.compiler.gcc_min} is asked for.")
    for name, pinned in pinned_commits(pins).items():
        taken = offered(mirror / "git" / f"{name}.git", pinned)
        if taken is not None and taken != pinned:
            text = text.replace(f'"{pinned}"', f'"{taken}"')
            say(f"Not as pinned: {name} at {taken}, where {pinned} is asked for.")
    file.write_text(text)
    return target


@dataclass(eq=False, kw_only=True)
class SourceRehearsal(Rehearsal):
    """The steps, and what they took."""

    def run(self) -> None:
        """Raises StepError at the first step that is not as expected."""
        self.write_models()
        self.fab("Read what its model is", "models-update", "all", expects="awq: /srv/models/awq")
        with self.step("Install what a host with a mirror has to have"):
            self.machine.output(*update_command().argv, timeout_s=APT_BOUND_S)
            packages = [*(need.package for need in (VENV, *TO_COMPILE)), "libnuma1", f"g++-{VERSION}"]
            self.machine.output(*install_command(packages).argv, timeout_s=APT_BOUND_S)
        deploy = ("build-and-deploy", "--engine", "compiled", "--mirror", MIRROR, "--timeout-s", str(GATE_S))
        with Peak(self) as peak:
            try:
                self.fab("Compile and deploy", *deploy, expects=" serves ")
            finally:
                self.say(f"At most {peak.bytes / 2**30:.1f} GiB of memory in use there.")
                self.disk()
        self.proofs(GATES | {"torch_build"})
        self.question("awq", served.expected()["awq"])

    def write_models(self) -> None:
        document = served.document(self.port)
        document["models"] = {"awq": document["models"]["awq"]}
        (self.folder / "models.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def disk(self) -> None:
        """What is below the host's directories now, and how far the compilation is."""
        root = self.machine.root / "opt" / "axion"
        for path in sorted((*root.glob("builds/*/*"), *root.glob("work/*"))):
            size = run("du", "--summarize", "--bytes", path, what="measure", timeout_s=300).stdout.split()[0]
            self.say(f"{int(size) / 2**20:9.1f} MiB  {path.relative_to(root)}")


class Peak:
    """The most memory that a host's processes had at once, sampled: resident pages, shared ones counted each time."""

    def __init__(self, rehearsal: SourceRehearsal) -> None:
        self.bytes = 0
        self._machine, self._is_over = rehearsal.machine, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._is_over.wait(SAMPLE_S):
            init = self._machine.init
            if init is not None:
                self.bytes = max(self.bytes, sum(_resident_bytes(each.pid) for each in tree(init.pid)))

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError, ValueError):
        return 0
