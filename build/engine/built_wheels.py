"""The wheels that a compilation leaves: written down, installed, put where other hosts find them, taken from there."""

import re
from collections.abc import Mapping, Sequence

from agent.message import MessageError
from agent.protocol import Built, EnvironmentManifest, RecordOrder
from build.engine.commands import BuildDirectory, pip_install, requirement_commands
from build.errors import DeployError
from build.pins import Pins
from build.remote.command import Command
from build.remote.executor import Executor, check

# Has vLLM's requirements: where vLLM itself was compiled, the name `vllm` is its own wheel's.
STUB_DIST = "axion-engine-requirements"
READ = "read what was built from what"
COPY_TIMEOUT_S = 1800.0
SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\.whl")
SHA256 = re.compile(r"[0-9a-f]{64}")


def record_command(build: BuildDirectory, facts: Mapping[str, str | int], *, repositories: Sequence[str]) -> Command:
    """Write built.json: facts, the commits that were checked out, the checksum of every wheel."""
    order = RecordOrder(directory=str(build.path), repositories=tuple(repositories), facts=facts)
    return build.agent.command("record", order.to_json(), what="write down what was built from what", timeout_s=300)


def read(build: BuildDirectory, executor: Executor) -> Built:
    """Read what was built from what. Raises DeployError."""
    file = build.path / "built.json"
    try:
        return Built.from_json(check(executor, Command(argv=("cat", "--", str(file)), what=READ)).stdout)
    except MessageError as error:
        raise DeployError(f"{file}: not understood: {error}. Remove {build.path}, and deploy again.") from None


def install_wheels(
    pins: Pins, build: BuildDirectory, *, index_args: tuple[str, ...], has_kernels: bool
) -> tuple[Command, ...]:
    """Install what was compiled, by its exact version and from nowhere else, and then what vLLM requires."""
    version = f"{pins.vllm.version}+cpu"
    ours = ("--no-index", "--find-links", f"{build.path}/wheels/", "--no-deps")
    return (
        pip_install(build, *ours, f"vllm=={version}", what=f"install vLLM {version} as compiled here"),
        *requirement_commands(
            pins, build, f"{STUB_DIST}=={pins.vllm.version}", requirements_of="vllm", index_args=index_args
        ),
        *((pip_install(build, *ours, "axion-kernels", what="install axion_kernels"),) if has_kernels else ()),
    )


def look_command(store: str, digest: str) -> Command:
    """Print the manifest of a finished build in a store; fails where there is none."""
    path = f"{store}/{digest}/manifest.json"
    argv = ("gcloud", "storage", "cat", path) if store.startswith("gs://") else ("cat", "--", path)
    return Command(argv=argv, what=f"look for finished wheels in {store}", timeout_s=120)


def is_absent(said: str) -> bool:
    """Whether a store that could be read has no such manifest; anything else is a reason not to go on without it."""
    return any(words in said for words in ("No such file or directory", "matched no objects"))


def stored(store: str | None, digest: str, executor: Executor) -> Mapping[str, str]:
    """Wheels of a compiled build that another host has left; empty where there are none."""
    if store is None:
        return {}
    found = executor.run(look_command(store, digest))
    if found.succeeded:
        return stored_wheels(found.stdout, digest, store)
    if not is_absent(found.stderr):  # an hour later the wheels could not be left there either
        got = (found.stderr.strip().splitlines() or [f"exit status {found.status}"])[-1]
        raise DeployError(f"--wheels: {store} cannot be read: {got}. Let the host read it, or deploy without it.")
    return {}


def stored_wheels(manifest: str, digest: str, store: str) -> Mapping[str, str]:
    """Name and checksum of each wheel that a store's manifest lists. Raises DeployError where it is another build's."""
    try:
        said = EnvironmentManifest.from_json(manifest)
        found, wheels = f"digest {said.digest!r}", said.built.wheels if said.built is not None else {}
        is_sound = said.digest == digest and bool(wheels)
    except MessageError as error:
        found, is_sound, wheels = str(error), False, {}
    if not is_sound or not all(SAFE_NAME.fullmatch(name) and SHA256.fullmatch(wheels[name]) for name in wheels):
        raise DeployError(
            f"{store}/{digest}/manifest.json: not the manifest of this build, got {found}. "
            "Delete that folder; the next build exports its wheels anew."
        )
    return wheels


def fetch_commands(build: BuildDirectory, store: str, wheels: Mapping[str, str]) -> tuple[Command, ...]:
    """Copy wheels from a store and check each: nothing in a folder that others can write to is trusted by its name."""
    folder = build.path / "wheels"
    return (
        Command(argv=("mkdir", "-p", "--", str(folder)), what="make room for the wheels"),
        Command(
            argv=(*_copy(store), *(f"{store}/{build.path.name}/{name}" for name in wheels), f"{folder}/"),
            what=f"copy {len(wheels)} wheels from {store}",
            timeout_s=COPY_TIMEOUT_S,
        ),
        Command(
            argv=("sha256sum", "--check", "--strict"),
            what="check the wheels",
            cwd=str(folder),
            stdin="".join(f"{checksum}  {name}\n" for name, checksum in sorted(wheels.items())).encode(),
            timeout_s=300,
        ),
    )


def export_commands(build: BuildDirectory, store: str, wheels: Mapping[str, str]) -> tuple[Command, ...]:
    """Put wheels into a store, the manifest last: where it is, everything is."""
    place = f"{store}/{build.path.name}"
    files = [str(build.path / "wheels" / name) for name in sorted(wheels)]
    if store.startswith("gs://"):
        return (
            Command(
                argv=(*_copy(store), *files, f"{place}/"), what=f"export wheels to {store}", timeout_s=COPY_TIMEOUT_S
            ),
            Command(
                argv=(*_copy(store), str(build.manifest), f"{place}/manifest.json"),
                what="export the manifest",
                timeout_s=300,
            ),
        )
    draft = f"{place}/.manifest.json.tmp"
    return (
        Command(argv=("mkdir", "-p", "--", place), what=f"make room in {store}"),
        Command(argv=(*_copy(store), *files, f"{place}/"), what=f"export wheels to {store}", timeout_s=COPY_TIMEOUT_S),
        Command(argv=(*_copy(store), str(build.manifest), draft), what="export the manifest"),
        Command(argv=("mv", "-T", "--", draft, f"{place}/manifest.json"), what="finish the export"),
    )


def _copy(store: str) -> tuple[str, ...]:
    return ("gcloud", "storage", "cp") if store.startswith("gs://") else ("cp", "--")
