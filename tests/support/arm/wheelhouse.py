"""Every wheel that an arm64 host installs, in one directory that its pip is pointed at: out/arm/wheelhouse.

All are the published ones but torch: the index has no build of it for Arm's CPUs, so the one that it has becomes
what PyTorch's own index calls `+cpu`, with stand-ins for NVIDIA's libraries inside (tests/support/arm/standins.py).
"""

import base64
import hashlib
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from build.pins import PINS, Pins, load_pins
from tests.support.arm.host import OUTPUT, run
from tests.support.arm.root import PYTHON
from tests.support.arm.standins import write_standins
from tests.support.arm.wheels import platform_words, requirements

WHEELHOUSE = OUTPUT / "wheelhouse"
PUBLISHED = OUTPUT / "published"
# Each names another package that only an accelerator needs.
FOR_ACCELERATORS = re.compile(rb"Requires-Dist: (cuda|nvidia|triton)[^\n]*\n")


def make_wheelhouse(root: Path) -> None:
    """Fill the directory unless it already holds exactly this. `root` is the system that torch is to be loaded in."""
    pins = load_pins(PINS)
    torchvision = f"torchvision=={pins.torch.torchvision}"
    wanted = (*requirements(pins), torchvision, f"{pins.pip.name}=={pins.pip.version}", *pins.vllm.build_requires)
    recipe = "\n".join((*wanted, Path(__file__).read_text(), Path(__file__).with_name("standins.py").read_text()))
    digest = hashlib.sha256(recipe.encode()).hexdigest()
    stamp = WHEELHOUSE / ".complete"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    shutil.rmtree(WHEELHOUSE, ignore_errors=True)
    _download(wanted)
    WHEELHOUSE.mkdir()
    for wheel in PUBLISHED.glob("*.whl"):
        if not wheel.name.startswith("torch-"):
            (WHEELHOUSE / wheel.name).hardlink_to(wheel)
    _make_torch(pins, root)
    stamp.write_text(digest)


def _download(wanted: tuple[str, ...]) -> None:
    """What is there already is not fetched again."""
    quiet = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--quiet")
    there = ("--find-links", str(PUBLISHED), "--dest", str(PUBLISHED))
    command = (sys.executable, "-m", "pip", "download", *quiet, "--no-deps", *platform_words(PYTHON), *there)
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    run(*command, *dict.fromkeys(wanted), what="download the wheels of an arm64 host", timeout_s=1800)


def _make_torch(pins: Pins, root: Path) -> None:
    (published,) = PUBLISHED.glob(f"torch-{pins.torch.version}-*.whl")
    draft = OUTPUT / "torch.draft"
    shutil.rmtree(draft, ignore_errors=True)
    with zipfile.ZipFile(published) as wheel:
        wheel.extractall(draft)
    write_standins(draft, root)
    old, new = pins.torch.version, f"{pins.torch.version}+cpu"
    info = draft / f"torch-{new}.dist-info"
    (draft / f"torch-{old}.dist-info").rename(info)
    metadata = FOR_ACCELERATORS.sub(b"", (info / "METADATA").read_bytes())
    metadata = metadata.replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {new}\n".encode(), 1)
    (info / "METADATA").write_bytes(metadata)
    says = draft / "torch" / "version.py"
    text = re.sub(r"(?m)^__version__ = .*$", f"__version__ = '{new}'", says.read_text())
    says.write_text(re.sub(r"(?m)^(cuda: .*) = .*$", r"\1 = None", text))
    _forget_accelerators(draft / "torch" / "share" / "cmake")
    pack(draft, WHEELHOUSE / published.name.replace(old, new, 1))
    shutil.rmtree(draft)


def _forget_accelerators(cmake: Path) -> None:
    """Have CMake told what a build for CPUs tells it: whoever compiles against torch looks for no CUDA."""
    for name, said, instead in (
        ("Caffe2/Caffe2Config.cmake", "set(CAFFE2_USE_CUDA 1)", "set(CAFFE2_USE_CUDA 0)"),
        ("Caffe2/Caffe2Config.cmake", 'include("${CMAKE_CURRENT_LIST_DIR}/public/cuda.cmake")', ""),
        ("Caffe2/Caffe2Config.cmake", "if(1 AND NOT CAFFE2_USE_CUDA)", "if(FALSE)"),
        ("Caffe2/Caffe2Targets.cmake", "torch_cpu_library;torch_cuda_library", "torch_cpu_library"),
        ("Torch/TorchConfig.cmake", "list(APPEND TORCH_LIBRARIES ${TORCH_CUDA_LIBRARIES})", ""),
    ):
        text = (cmake / name).read_text()
        assert said in text, f"{name}: no longer says {said}"
        (cmake / name).write_text(text.replace(said, instead))


def pack(files: Path, wheel: Path) -> None:
    """Write a wheel whose RECORD fits. Not compressed: an emulated machine unpacks it."""
    (info,) = files.glob("*.dist-info")
    record = info / "RECORD"
    record.write_text("".join(f"{line}\n" for line in _record(files, record)))
    draft = wheel.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(files))
    draft.rename(wheel)


def _record(files: Path, record: Path) -> Iterator[str]:
    for path in sorted(files.rglob("*")):
        if path.is_file() and path != record:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
            encoded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            yield f"{path.relative_to(files)},sha256={encoded},{path.stat().st_size}"
    yield f"{record.relative_to(files)},,"
