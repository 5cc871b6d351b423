"""Make the only build of torch for Arm that the package index has importable: it wants NVIDIA's libraries.

Its CPU half is the one that vLLM's extension for CPUs was compiled against, and nothing calls the other half. So
shared libraries that define every symbol asked for, and answer each call with "no device", are enough. They come from
what the libraries themselves say: each names the libraries it needs, the symbols it lacks, and for some the version
and library of a symbol.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from build.errors import DeployError
from tests.support.arm.host import run

NVIDIA = ("libcu", "libnccl", "libnv")
NO_DEVICE = 100  # cudaErrorNoDevice; the other libraries' error codes are not 0 for 100 either
COMPILER = ("clang-19", "--target=aarch64-linux-gnu", "-fuse-ld=lld-19", "-shared", "-fPIC", "-nostdlib", "-w")
# vLLM's extension calls one function of the BLAS in torch's other build. No model that is tested here gets there.
ELSEWHERE = ("sbgemm_",)


@dataclass
class Library:
    """What one ELF file offers and what it asks for."""

    needed: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    undefined: set[str] = field(default_factory=set)
    # Version nodes by the library that must hold them, and symbols by version node.
    versions: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    versioned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def read_library(path: Path) -> Library:
    found = Library()
    holder = ""
    for line in readelf("--dynamic", "--version-info", path):
        if match := re.search(r"\(NEEDED\).*\[(.+)\]", line):
            found.needed.add(match.group(1))
        elif match := re.search(r"Version: 1\s+File: (\S+)", line):
            holder = match.group(1)
        elif holder and (match := re.search(r"\bName: (\S+)\s+Flags:", line)):
            found.versions[holder].add(match.group(1))
    for line in readelf("--dyn-syms", path):
        # Num: Value Size Type Bind Vis Ndx Name[@VERSION (n)]
        fields = line.split()
        if len(fields) < 8 or not fields[0][:-1].isdigit():
            continue
        name, _, version = fields[7].partition("@")
        if fields[6] != "UND":
            found.defined.add(name)
        elif fields[4] != "WEAK":
            (found.versioned[version] if version else found.undefined).add(name)
    return found


def readelf(*arguments: str | Path) -> list[str]:
    return run("readelf", "--wide", *arguments, what="read a library's symbols", timeout_s=300).stdout.splitlines()


def write_standins(site: Path, root: Path) -> tuple[str, ...]:
    """Put a stand-in beside torch's libraries for each library that neither they nor the system have."""
    torch = site / "torch" / "lib"
    libraries = {path.name: read_library(path) for path in shared_objects(torch)}
    system = {path.name: path for path in (root / "usr" / "lib").rglob("*.so*")}
    wanted = {name for library in libraries.values() for name in library.needed}
    missing = sorted(wanted - libraries.keys() - system.keys())
    if unknown := [name for name in missing if not name.startswith(NVIDIA)]:
        raise DeployError(f"out/arm/root: torch needs more of the system: no {', '.join(unknown)}. Add the package.")
    offered = symbols(libraries.values(), "defined") | system_symbols(wanted & system.keys(), system, root)
    unversioned = symbols(libraries.values(), "undefined") - offered
    for name in missing:
        nodes = {
            node: set().union(*(library.versioned[node] for library in libraries.values()))
            for node in set().union(*(library.versions[name] for library in libraries.values()))
        }
        # Which library an unversioned symbol came from is not written anywhere, and the loader does not care either.
        plain = unversioned | set(ELSEWHERE) if name == missing[0] else set()
        compile_standin(torch / name, nodes, plain)
    return tuple(missing)


def shared_objects(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.is_file() and ".so" in path.suffixes:
            yield path


def symbols(libraries: Iterable[Library], kind: str) -> set[str]:
    return set().union(*(getattr(library, kind) for library in libraries))


def system_symbols(names: Iterable[str], system: dict[str, Path], root: Path) -> set[str]:
    """What the system's libraries and the interpreter itself define."""
    (interpreter,) = (root / "usr" / "bin").glob("python3.[0-9]*[0-9]")
    paths = [interpreter, *(root / resolved(system[name], root) for name in names)]
    return set().union(*(read_library(path).defined for path in paths))


def resolved(path: Path, root: Path) -> Path:
    """Links in the root may be absolute: they mean that root."""
    if path.is_symlink():
        target = path.readlink()
        return root / target.relative_to("/") if target.is_absolute() else path.parent / target
    return path


def compile_standin(path: Path, nodes: dict[str, set[str]], plain: set[str]) -> None:
    source, script = path.with_name(f"{path.name}.c"), path.with_name(f"{path.name}.map")
    source.write_text(c_source(plain.union(*nodes.values())))
    command = [*COMPILER, f"-Wl,-soname,{path.name}", "-o", str(path), str(source)]
    if nodes:
        lines = (f"{node} {{ global: {' '.join(f'{s};' for s in sorted(held))} }};\n" for node, held in nodes.items())
        script.write_text("".join(lines))
        command.append(f"-Wl,--version-script={script}")
    run(*command, what=f"compile {path.name}")
    source.unlink()
    script.unlink(missing_ok=True)


def c_source(names: set[str]) -> str:
    lines = ["static void* registered[64];"]  # what compiled CUDA code keeps from its registration at load time
    for name in sorted(names):
        if name in ELSEWHERE:
            lines.append(f"void {name}(void) {{ __builtin_trap(); }}")
        elif name.startswith("__cuda"):
            lines.append(f"void* {name}(void) {{ return registered; }}")
        else:
            lines.append(f"int {name}(void) {{ return {NO_DEVICE}; }}")
    return "\n".join(lines) + "\n"
