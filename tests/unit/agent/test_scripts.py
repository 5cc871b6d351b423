"""What runs on a host before anything is known of it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import system
from agent.probe import size_of
from build.remote.agent import START, source
from deployment.stack.minimum import HostSystem, system_problems
from tests.support.agent import agent_file
from tests.unit.agent.test_probe import probe, write


@pytest.mark.parametrize("text", [START, source("__main__.py")], ids=["start", "main"])
def test_what_looks_at_pythons_version_is_read_by_one_that_is_too_old(text: str) -> None:
    """Everything else comes after it. Python 3.9 evaluates annotations, and knows no `X | None`."""
    tree = ast.parse(text, feature_version=(3, 9))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    annotations = [each for node in functions for each in (*(one.annotation for one in node.args.args), node.returns)]
    assert [ast.unparse(each) for each in annotations if isinstance(each, ast.BinOp)] == []
    modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert set(modules) <= {"hashlib", "importlib", "os", "runpy", "sys"}


@pytest.mark.parametrize("verb", ["probe", "lock", "no-such"])
def test_a_host_whose_python_is_too_old_is_told_so_before_anything_is_imported(tmp_path: Path, verb: str) -> None:
    file = agent_file(tmp_path, {"probe.py": ("import", "not Python at all"), "lock.py": ("import", "nor this")})
    code = f"import runpy, sys; sys.version_info = (3, 9, 2); sys.argv = [{str(file)!r}, {verb!r}, '{{}}']"
    code += f"; runpy.run_path({str(file)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = system_problems("main", HostSystem(python="3.9.2", glibc="2.31"), has_units=False)
    assert f"main: {done.stderr}" == f"{sentence}\n"


def test_programs_are_looked_for_where_builds_look_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("g++-15", "gcc-15"):
        write(tmp_path / name, "#!/bin/sh\necho 15.1.0\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert system.compilers(("g++-15",)) == {}
    monkeypatch.setattr(system, "SYSTEM_PATH", str(tmp_path))
    assert system.compilers(("g++-15",)) == {"g++-15": "15.1.0"}


def test_what_an_unfinished_environment_takes_is_told(tmp_path: Path) -> None:
    write(tmp_path / "builds" / "sealed" / "manifest.json", '{"digest": "sealed"}')
    write(tmp_path / "builds" / "unfinished" / "venv" / "big", "x" * 100_000)
    (tmp_path / "builds" / "unfinished" / "gone").symlink_to("nowhere")
    found = probe(tmp_path).unfinished_builds
    assert found.keys() == {"unfinished"}
    assert 100_000 <= found["unfinished"] < 200_000


def test_a_file_that_a_running_build_removes_meanwhile_takes_nothing(tmp_path: Path) -> None:
    assert size_of(tmp_path / "gone") == 0
