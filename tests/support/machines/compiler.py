"""Debian's compiler for arm64, in whose place the same one for this machine works: emulated it would take hours.

It appears with the package and not before: the package's own files are diverted, as dpkg-divert(1) does, so that what
is installed under their names is here already and has no `g++` to be called by. The driver, headers, libraries and the
linker are the package's, and emulated; the compiler proper and the assembler run natively.
"""

import hashlib
import re
import shutil
from pathlib import Path

from tests.support.arm.host import run
from tests.support.machines.root import OUTPUT, made_once

TARGET, VERSION = "aarch64-linux-gnu", "12"  # of Debian 12
PREFIX = "/opt/native-compiler"
NATIVE = {
    f"/usr/lib/gcc/{TARGET}/{VERSION}/cc1plus": f"/usr/lib/gcc-cross/{TARGET}/{VERSION}/cc1plus",
    f"/usr/bin/{TARGET}-as": f"/usr/bin/{TARGET}-as",
}
"""By the name of a program in the host, the one of this machine that does the same."""
# A cross-compiler looks for headers elsewhere than the compiler in whose place it works.
HEADERS = (
    f"/usr/include/c++/{VERSION}",
    f"/usr/include/{TARGET}/c++/{VERSION}",
    f"/usr/include/c++/{VERSION}/backward",
    f"/usr/lib/gcc/{TARGET}/{VERSION}/include",
    "/usr/local/include",
    f"/usr/include/{TARGET}",
    "/usr/include",
)
LOADER = "ld-linux-x86-64.so.2"


def compiler_layer(root: Path) -> Path:
    """Return a layer over such a root."""
    key = hashlib.sha256(Path(__file__).read_bytes() + root.name.encode()).hexdigest()

    def write(draft: Path) -> None:
        diversions = draft / "var" / "lib" / "dpkg" / "diversions"
        diversions.parent.mkdir(parents=True)
        lines = (f"{name}\n{name}.emulated\n:\n" for name in NATIVE)
        diversions.write_text((root / diversions.relative_to(draft)).read_text() + "".join(lines))
        for name, program in NATIVE.items():
            _put(draft, name, Path(program))

    return made_once(OUTPUT / "layers" / f"compiler-{key[:12]}", write)


def _put(layer: Path, name: str, program: Path) -> None:
    """Put a program of this machine there, with the libraries that it needs, and a script that starts it."""
    prefix = layer / PREFIX.lstrip("/")
    prefix.mkdir(parents=True, exist_ok=True)
    listed = run("ldd", program, what=f"list what {program.name} needs").stdout
    for path in (program, *map(Path, re.findall(r"(/\S+) \(0x", listed))):
        shutil.copy2(path.resolve(), prefix / path.name)
    words = [f"{PREFIX}/{LOADER}", "--library-path", PREFIX, f"{PREFIX}/{program.name}", '"$@"']
    if program.name == "cc1plus":
        words += ["-nostdinc", "-nostdinc++", *(word for path in HEADERS for word in ("-isystem", path))]
    script = layer / name.lstrip("/")
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f"#!/bin/sh\nexec {' '.join(words)}\n")
    script.chmod(0o755)
