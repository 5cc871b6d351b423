"""A mirror with stand-ins for all that a compilation of vLLM fetches: two git repositories, an sdist, and wheels.

The sdist is a small project. Its backend writes down how it was called, and makes the wheel it promises.
"""

import base64
import hashlib
import importlib.metadata
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from agent.stub_dist import wheel_members, write_wheel
from build.pins import PinnedFile, Pins
from deployment.render.release import RenderedFile
from tests.support.fakes import torchvision

REAL = ("packaging", "pip", "typing_extensions")
# Where a project tells who builds it: a module of its own, which needs neither setuptools nor a compiler.
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
BACKEND = """\
import json, os, pathlib, subprocess, sys, textwrap, zipfile

def told(hook):
    if RECORD is None:
        return
    trees = ("ACL_ROOT_DIR", "FETCHCONTENT_SOURCE_DIR_ONEDNN")
    read = {name: pathlib.Path(os.environ[name], "README").read_text() for name in trees if name in os.environ}
    with open(RECORD, "a") as record:
        record.write(json.dumps({"hook": hook, "env": dict(os.environ), "trees": read}) + "\\n")

def configure():
    # A process of its own, as vLLM's CMake does it: in here setuptools may have brought modules of its own along.
    tried = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, text=True)
    if tried.returncode:
        said = textwrap.indent(f"Failed to locate torch path: {tried.stderr}", "  ")
        sys.exit(f"CMake Error at cmake/utils.cmake:15 (message):\\n{said}")

def info():
    return f"{NAME}-{os.environ.get('VLLM_VERSION_OVERRIDE', '0.1.0')}.dist-info"

def metadata():
    name, version = info().removesuffix(".dist-info").split("-")
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    return "\\n".join([*lines, *(f"Requires-Dist: {each}" for each in REQUIRES)]) + "\\n"

def prepare_metadata_for_build_wheel(directory, settings=None):
    told("metadata")
    folder = pathlib.Path(directory, info())
    folder.mkdir()
    (folder / "METADATA").write_text(metadata())
    return info()

def build_wheel(directory, settings=None, metadata_directory=None):
    told("wheel")
    if NAME == "vllm":
        configure()
    if RECORD and pathlib.Path(RECORD + ".fail").exists():
        print("attention.cpp:12:3: error: no such instruction")
        sys.exit("a long way from the cause")
    wheel = info().removesuffix(".dist-info") + "-py3-none-any.whl"
    files = {f"{NAME}/__init__.py": "", f"{info()}/METADATA": metadata(),
             f"{info()}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}
    files[f"{info()}/RECORD"] = "".join(f"{name},,\\n" for name in [*files, f"{info()}/RECORD"])
    with zipfile.ZipFile(pathlib.Path(directory, wheel), "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel
"""


def backend(name: str, *, record: str | None, requires: tuple[str, ...] = ()) -> str:
    return f"NAME, RECORD, REQUIRES = {name!r}, {record!r}, {requires!r}\n{BACKEND}"


# What a kernels/ folder would send; the wheel that comes of it has no kernel in it.
KERNELS = [
    RenderedFile(path="pyproject.toml", text=PROJECT),
    RenderedFile(path="backend.py", text=backend("axion_kernels", record=None)),
]


@dataclass(frozen=True, slots=True)
class SourceMirror:
    """Where it is, the pins that describe it, and what its repositories hold."""

    path: Path
    pins: Pins
    acl: str
    onednn: str
    record: Path
    """One JSON object a line: how the backend was called."""


def make_mirror(path: Path, pins: Pins) -> SourceMirror:
    """Make the stand-ins, and pins that ask for them."""
    for folder in ("wheels", "sdists", "git"):
        (path / folder).mkdir(parents=True)
    record = path / "record"
    acl = _repository(path / "git" / "acl.git", "acl", tag=pins.acl.tag)
    onednn = _repository(path / "git" / "onednn.git", "onednn")
    versions = {name: importlib.metadata.version(name) for name in REAL}
    listed = ("ninja==1.0", f"packaging=={versions['packaging']}")
    tools = (*listed, f"typing-extensions=={versions['typing_extensions']}")
    asked = (*listed, "torch==2.13.0+cpu", "colorama; sys_platform == 'x'")
    sdist = _sdist(path / "sdists", record, requirements=asked)
    wheels = {name: _repacked(name, path / "wheels") for name in REAL}
    # The real one asks for more, and imports this at once.
    _standin(path / "wheels", "torch", "2.13.0+cpu", {"torch/__init__.py": "import typing_extensions\n"})
    _standin(path / "wheels", "torchvision", pins.torch.torchvision, torchvision.FILES)
    _standin(path / "wheels", "ninja", "1.0")
    pip = PinnedFile(name="pip", version=versions["pip"], sha256=wheels["pip"])
    adapted = pins.model_copy(
        update={
            "pip": pip,
            "vllm": pins.vllm.model_copy(update={"sdist_sha256": sdist, "build_requires": tools}),
            "acl": pins.acl.model_copy(update={"commit": acl}),
            "onednn": pins.onednn.model_copy(update={"aarch64": onednn}),
        }
    )
    return SourceMirror(path, adapted, acl, onednn, record)


def _repository(path: Path, said: str, *, tag: str | None = None) -> str:
    """A repository with two commits; return the older one, or the newer one if it is tagged."""
    work = path.with_suffix(".work")
    commits = []
    git = ["git", "-C", str(work), "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "init", "--quiet", "-b", "main", str(work)], check=True, timeout=30)
    for version in ("older", "newer"):
        (work / "README").write_text(f"{said} {version}\n")
        subprocess.run([*git, "add", "README"], check=True, timeout=30)
        subprocess.run([*git, "commit", "--quiet", "-m", version], check=True, timeout=30)
        head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, timeout=30, capture_output=True, text=True)
        commits.append(head.stdout.strip())
    if tag:
        subprocess.run([*git, "tag", tag], check=True, timeout=30)
    subprocess.run(["git", "clone", "--quiet", "--bare", str(work), str(path)], check=True, timeout=30)
    return commits[1 if tag else 0]


def _sdist(folder: Path, record: Path, *, requirements: tuple[str, ...]) -> str:
    """Write it and return its checksum."""
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0\n",
        "pyproject.toml": PROJECT,
        "backend.py": backend("vllm", record=str(record), requires=("torch==2.13.0+cpu", "torchvision")),
        "requirements/build/cpu.txt": "".join(f"{each}  # why\n" for each in requirements),
    }
    path = folder / "vllm-0.32.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"vllm-0.32.0/{name}")
            member.size, member.mode = len(text.encode()), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _standin(folder: Path, name: str, version: str, files: Mapping[str, str] = MappingProxyType({})) -> None:
    members = {file: text.encode() for file, text in files.items()} | wheel_members(name, version, [])
    record = f"{name}-{version}.dist-info/RECORD"
    members[record] += "".join(f"{file},,\n" for file in files).encode()
    write_wheel(folder / f"{name}-{version}-py3-none-any.whl", members)


def _repacked(name: str, folder: Path) -> str:
    """Make a wheel of what is installed here, and return its checksum."""
    distribution = importlib.metadata.distribution(name)
    info = f"{name}-{distribution.version}.dist-info"
    path = folder / f"{name}-{distribution.version}-py3-none-any.whl"
    lines = []
    with zipfile.ZipFile(path, "w") as wheel:
        for file in distribution.files or []:
            text = str(file)
            if text.startswith("..") or "__pycache__" in text or text in (f"{info}/RECORD", f"{info}/INSTALLER"):
                continue
            data = Path(str(distribution.locate_file(file))).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{text},sha256={digest},{len(data)}\n")
            wheel.writestr(text, data)
        wheel.writestr(f"{info}/RECORD", "".join(lines) + f"{info}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()
