"""What `make rehearse-arm` is made of, as far as it can be tried in a second: what it asks for, wheels, pictures."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.arm.wheelhouse import pack
from tests.support.emulated import served


def test_a_wheel_that_was_changed_is_one_that_pip_takes(tmp_path: Path) -> None:
    files, wheel = tmp_path / "files", tmp_path / "thing-1.0+cpu-py3-none-any.whl"
    info = files / "thing-1.0+cpu.dist-info"
    info.mkdir(parents=True)
    (files / "thing.py").write_text("value = 3\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0+cpu\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    pack(files, wheel)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"value = 3\n").digest()).decode().rstrip("=")
    with zipfile.ZipFile(wheel) as archive:
        assert f"thing.py,sha256={digest},10\n" in archive.read("thing-1.0+cpu.dist-info/RECORD").decode()
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", tmp_path / "site")
    subprocess.run((*pip, wheel), check=True, capture_output=True)
    assert (tmp_path / "site" / "thing.py").read_text() == "value = 3\n"


def test_one_model_becomes_int4_while_it_loads_and_all_are_eager() -> None:
    models = served.document(8080)["models"]
    assert set(models) == {"awq", "online", "pictures"}
    assert models["online"]["engine"]["quantization"] == "axion_w4"
    assert models["pictures"]["engine"]["limit_mm_per_prompt"] == {"image": 1}
    assert all(model["engine"]["enforce_eager"] for model in models.values())
