"""What makes torchvision import beside a torch that its operators do not load with, and what it leaves alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.agent import agent_file
from tests.support.fakes.torchvision import FILES, REGISTRATIONS


def lay_out(directory: Path, **changed: str) -> Path:
    """The stand-in in a directory, with other files in the place of some."""
    files = {**FILES, **{f"torchvision/{name}.py": text for name, text in changed.items()}}
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory / "torchvision"


def run(site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", str(agent_file(site)), "torchvision"]
    environment = {"PYTHONPATH": str(site)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def imports(site: Path) -> bool:
    command = [sys.executable, "-P", "-c", "import torchvision.transforms.v2"]
    return subprocess.run(command, cwd=site, env={"PYTHONPATH": str(site)}, check=False, timeout=60).returncode == 0


def contents(package: Path) -> dict[str, str]:
    return {str(path.relative_to(package)): path.read_text() for path in sorted(package.rglob("*.py"))}


def test_what_dies_of_its_operators_is_imported_afterwards(tmp_path: Path) -> None:
    package = lay_out(tmp_path)
    before = contents(package)
    assert not imports(tmp_path)
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    why = "RuntimeError: operator torchvision::nms does not exist"
    assert done.stdout.splitlines() == [f"torchvision: {name}.py emptied, for {why}" for name in REGISTRATIONS]
    assert imports(tmp_path)
    changed = [name for name, text in contents(package).items() if text != before[name]]
    assert changed == [f"{name}.py" for name in REGISTRATIONS]
    assert run(tmp_path).stdout == "torchvision: imports as it is\n"


def test_what_can_be_imported_is_left_as_it_is(tmp_path: Path) -> None:
    package = lay_out(tmp_path, **dict.fromkeys(REGISTRATIONS, "REGISTERED = True\n"))
    before = contents(package)
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (0, "torchvision: imports as it is\n")
    assert contents(package) == before


@pytest.mark.parametrize(
    ("extension", "said"),
    [
        ("import numpy.absent\n", "torchvision: cannot be imported: ModuleNotFoundError: No module named 'numpy"),
        ("raise OSError('libtorch.so')\n", "torchvision: cannot be imported: OSError: libtorch.so\n"),
    ],
)
def test_another_cause_is_told_and_nothing_is_emptied(tmp_path: Path, extension: str, said: str) -> None:
    package = lay_out(tmp_path, extension=extension)
    before = contents(package)
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert contents(package) == before


def test_an_environment_without_it_says_so(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert "torchvision: cannot be imported: ModuleNotFoundError: No module named 'torchvision'" in done.stderr
