"""The rules of the checkout that no linter knows: what has no place here, and how large is too large."""

import ast
import importlib.metadata
import os
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import build
from tests.support.share import stretched

REPOSITORY = Path(__file__).parents[2]
OURS = frozenset({"agent", "bench", "build", "deployment", "examples", "gateway", "infra", "publishing", "tests"})
BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "core"})
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60
# A list of documents, and one of tasks, each read by itself.
LISTS = frozenset({"agent/protocol.py", "fabfile.py"})
# Written so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile(r"(?<![\w/.{}-])/(?:work|root|tmp/research)/|/opt/py" + "pi")
UNFINISHED = re.compile("TO" + "DO|FIX" + "ME|XX" + "X")


def listed(*arguments: str) -> list[Path]:
    """Files that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *arguments]
    names = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    return [path for path in (REPOSITORY / name for name in sorted(set(names))) if path.is_file()]


def python_files() -> list[Path]:
    return listed("*.py")


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_our_build_is_the_one_that_is_imported() -> None:
    assert Path(build.__file__).parent == REPOSITORY / "build"
    elsewhere = subprocess.run(
        [sys.executable, "-c", "import build; print(build.__file__)"],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert Path(elsewhere.stdout.strip()).parent == REPOSITORY / "build"


def test_no_installed_package_has_the_name_of_one_of_ours() -> None:
    installed = {(found.name or "").lower().replace("-", "_") for found in importlib.metadata.distributions()}
    assert not installed & (OURS | {"axion_deploy"})


def test_git_sees_the_sources_in_build_and_ignores_what_is_made() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "build", "build/", "build/new.py", "out/x", ".venv/x"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ignored.stdout.splitlines() == ["out/x", ".venv/x"]


def test_every_package_says_that_it_is_one() -> None:
    parents = {
        path.parent
        for path in python_files()
        if name_of(path).startswith(("agent/", "build/", "deployment/", "gateway/"))
    }
    parents |= {REPOSITORY / "tests" / "support" / "fakes"}
    assert [name_of(parent) for parent in sorted(parents) if not (parent / "__init__.py").is_file()] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    names = [path for path in listed() if {path.stem, path.parent.name} & BANNED_NAMES]
    assert [name_of(path) for path in names] == []


def test_no_file_and_no_function_is_too_long_to_read() -> None:
    wrong = []
    for path in python_files():
        text = path.read_text()
        if text.count("\n") > MAX_FILE_LINES and name_of(path) not in LISTS:
            wrong.append(f"{name_of(path)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                wrong += [f"{name_of(path)}: {node.name} has {lines} lines"] if lines > MAX_FUNCTION_LINES else []
    assert wrong == []


@pytest.mark.parametrize("path", listed("templates"), ids=name_of)
def test_what_a_template_makes_says_where_it_comes_from(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first == f"# rendered from {name_of(path)}, do not edit"


def test_every_dependency_says_what_it_is_for() -> None:
    lines = (REPOSITORY / "pyproject.toml").read_text().splitlines()
    groups = tomllib.loads("\n".join(lines))["dependency-groups"]
    dependencies = {item for group in groups.values() for item in group if isinstance(item, str)}
    for dependency in dependencies:
        found = [line for line in lines if line.strip().startswith(f'"{dependency}"')]
        assert found, dependency
        assert all(len(line.partition("#")[2].split()) >= 2 for line in found), dependency


def test_every_dependency_is_pinned() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in lines)
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]
    wanted = {re.split(r"[<>=]", item)[0] for group in groups.values() for item in group if isinstance(item, str)}
    assert wanted <= pinned


def test_nothing_of_one_machine_and_nothing_unfinished_is_in_a_file() -> None:
    wrong = []
    for path in listed():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if MACHINE_PATHS.search(line) or UNFINISHED.search(line):
                wrong.append(f"{name_of(path)}:{number}: {line.strip()}")
    assert wrong == []


def readme() -> str:
    return (REPOSITORY / "README.md").read_text()


def test_the_targets_that_the_readme_names_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )make ([a-z0-9-]+)", readme(), flags=re.MULTILINE))
    assert named
    assert named <= targets


def child_time_s() -> float:
    """Processor time of commands that have ended: the machine may be busy with something else."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def test_the_tasks_that_the_readme_names_exist_and_all_tasks_are_listed_fast() -> None:
    fab = [str(Path(sys.executable).with_name("fab")), "--list", "--list-format=nested"]
    times = []
    for _ in range(2):  # the first one compiles what nobody has imported yet
        began = child_time_s()
        shown = subprocess.run(fab, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60).stdout
        times.append(child_time_s() - began)
    tasks = {word for line in shown.splitlines() for word in re.findall(r"^\s+\.?([a-z][a-z.-]*)", line)}
    named = set(re.findall(r"(?:`|^    )fab ([a-z][a-z.-]*)", readme(), flags=re.MULTILINE))
    assert {"plan", "build-and-deploy"} <= named <= tasks
    assert min(times) < stretched(1)


def test_the_links_of_the_documents_lead_somewhere() -> None:
    for path in listed("*.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            assert "://" in target or (path.parent / target).exists(), f"{name_of(path)}: {target}"
