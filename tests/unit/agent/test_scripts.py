"""What runs on a host before anything is known of it."""

import ast
import os
from pathlib import Path

import pytest

from agent import system
from agent.probe import size_of
from build.remote.agent import source
from tests.unit.agent.test_probe import probe, write


def with_imports(*names: str) -> list[str]:
    """Modules of the agent with all that they import of it, whatever that will be."""
    found = list(names)
    for name in found:
        tree = ast.parse(source(f"{name}.py"))
        modules = (node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
        parts = (module.removeprefix("agent.") for module in modules if module.startswith("agent."))
        found += [part for part in parts if part not in found]
    return found


@pytest.mark.parametrize("name", with_imports("__main__", "lock", "probe"))
def test_a_host_whose_python_is_too_old_can_still_be_told_so(name: str) -> None:
    """These run before it is known. Python 3.9 evaluates annotations, and knows neither `X | None` nor datetime.UTC."""
    tree = ast.parse(source(f"{name}.py"), feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            arguments = (argument.annotation for argument in (*node.args.args, *node.args.kwonlyargs))
            told = [ast.unparse(each) for each in (*arguments, node.returns) if isinstance(each, ast.BinOp)]
            assert told == [], f"{node.name}: quote {told}"
    assert "UTC" not in {
        name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names
    }


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
