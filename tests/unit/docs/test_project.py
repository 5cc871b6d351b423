"""What others need to join: the documents name what there is, GitHub's files call it, and nothing gets more rights."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_tidy import REPOSITORY, listed, name_of

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]
DECISIONS = sorted((REPOSITORY / "docs" / "decisions").glob("0*.md"))
GUIDES = ("CONTRIBUTING.md", "SECURITY.md", ".github/pull_request_template.md")
CHECKOUT = re.compile(r"actions/checkout@[0-9a-f]{40}")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text()


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{path.stem}.{name}", job) for path in WORKFLOWS for name, job in read(path)["jobs"].items()]


def steps(key: str) -> list[str]:
    return [step[key] for _, job in jobs() for step in job["steps"] if key in step]


def shown_commands(name: str) -> list[str]:
    """Indented lines, and what begins with `make` or a script's path between backticks."""
    text = text_of(name)
    found = re.findall(r"^    (?! )(.*?)(?:\s+#.*)?$", text, re.MULTILINE) + re.findall(r"`([^`\n]+)`", text)
    return [part.strip() for command in found for part in command.split("&&")]


def targets(commands: list[str]) -> set[str]:
    return {match[1] for one in commands if (match := re.match(r"(?:sudo )?make ([a-z][a-z0-9-]*)", one))}


def test_git_sees_every_file_of_the_project() -> None:
    files = [".github/workflows/new.yml", ".pre-commit-config.yaml", "SECURITY.md", "docs/decisions/new.md", ".ci/run"]
    ignored = subprocess.run(
        ["git", "check-ignore", *files], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30
    )
    assert (ignored.returncode, ignored.stdout) == (1, "")


def test_github_runs_the_gate_on_x86_and_the_kernels_on_arm() -> None:
    found = {name: (job["runs-on"], job["steps"][-1].get("run"), [step.get("run") for step in job["steps"]])
             for name, job in jobs()}  # fmt: skip
    assert set(found) == {"gate.x86-64", "gate.arm64"}
    assert found["gate.x86-64"][0] == "ubuntu-24.04"
    assert ".ci/run" in found["gate.x86-64"][2]
    assert found["gate.arm64"][:2] == ("ubuntu-24.04-arm", "make test-kernels")


def test_what_workflows_run_is_there() -> None:
    ours = [one for one in steps("run") if not one.startswith(("apt-get ", "git config "))]
    assert set(ours) == {".ci/run", "make test-clients", "make test-kernels"}
    assert (REPOSITORY / ".ci" / "run").stat().st_mode & 0o100
    assert_targets_exist(targets(ours))


def assert_targets_exist(names: set[str]) -> None:
    assert names
    known = set(re.findall(r"^([a-z0-9-]+):", text_of("Makefile"), re.MULTILINE))
    assert sorted(names - known) == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_jobflow_may_read_only_and_ends(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"].endswith("${{ github.ref }}")
    # YAML reads the key `on` as true. `pull_request_target` would run a fork's code with the base's rights.
    assert set(workflow[True]) == {"push", "pull_request", "workflow_dispatch"}
    assert "secrets." not in path.read_text()
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert 0 < job["timeout-minutes"] <= 180


def test_actions_are_named_by_commit_with_their_version_beside() -> None:
    for path in WORKFLOWS:
        lines = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
        assert lines
        wrong = [line for line in lines if not re.fullmatch(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)]
        assert wrong == []


def test_no_step_gets_a_token_or_text_of_a_pull_request() -> None:
    assert [one for one in steps("run") if "${{" in one] == []
    checkouts = [step for _, job in jobs() for step in job["steps"] if CHECKOUT.match(step.get("uses", ""))]
    assert [step["with"] for step in checkouts] == [{"persist-credentials": False}] * 2


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_one_that_github_takes(path: Path) -> None:
    """By GitHub's syntax of issue forms: what is required, and that no two answers have one name."""
    form = read(path)
    assert {"name", "description", "body"} <= form.keys() <= {"name", "description", "body", "labels", "title"}
    asked = [element for element in form["body"] if element["type"] != "markdown"]
    assert asked
    assert {element["type"] for element in asked} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert all(element["attributes"]["label"] for element in asked)
    ids = [element["id"] for element in asked]
    assert len(ids) == len(set(ids))
    assert all(len(set(element["attributes"]["options"])) > 1 for element in asked if element["type"] == "dropdown")


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_names_targets_and_files_that_exist(name: str) -> None:
    commands = shown_commands(name)
    if named := targets(commands):
        assert_targets_exist(named)
    files = re.findall(r"`((?:\.?[\w-]+/)+[\w.*-]*|[\w-]+\.(?:md|toml|yaml|txt|json))`", text_of(name))
    files += [word for one in commands for word in one.split() if word.startswith("tests/")]
    bases = (REPOSITORY, REPOSITORY / "kernels" / "src", REPOSITORY / "kernels" / "python" / "axion_kernels")
    made = {"out/", "out/publishing/", "operate/"}
    missing = [file for file in files if file not in made and not any((base / file).exists() for base in bases)]
    assert missing == []


def test_the_layout_has_a_line_for_each_folder() -> None:
    text = text_of("CONTRIBUTING.md").partition("\n## Where things live\n")[2].partition("\n## ")[0]
    named = {folder for line in text.splitlines() if line.startswith("|") for folder in re.findall(r"`(\w+)/`", line)}
    there = {name_of(path).partition("/")[0] for path in listed() if "/" in name_of(path)}
    assert named == {folder for folder in there if not folder.startswith(".")}


def test_each_step_of_the_guide_can_be_planned_by_make() -> None:
    for target in sorted(targets(shown_commands("CONTRIBUTING.md"))):
        planned = subprocess.run(
            ["make", "--dry-run", target, "VERSION=1.2.3"],
            cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert planned.returncode == 0, f"{target}: {planned.stderr}"


def test_commits_are_judged_by_the_tools_of_this_environment() -> None:
    config = read(REPOSITORY / ".pre-commit-config.yaml")
    assert [repository["repo"] for repository in config["repos"]] == ["local"]  # so that no version is pinned twice
    hooks = config["repos"][0]["hooks"]
    programs = [Path(hook["entry"].split()[0]) for hook in hooks]
    assert {program.name for program in programs} == {"ruff", "mypy"}
    assert {program.parent for program in programs} == {Path(".venv/bin")}
    assert all((Path(sys.executable).parent / program.name).exists() for program in programs)
    gate = re.findall(r"\$\(BIN\)/((?:ruff|mypy)[a-z ]*)", text_of("Makefile"))
    assert {hook["entry"].removeprefix(".venv/bin/").partition(" --")[0] for hook in hooks} == {
        one.strip() for one in gate
    }


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_short_dated_and_whole(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 40
    assert re.fullmatch(rf"# {int(path.stem[:4])}\. \w.*", lines[0])
    assert re.match(r"20\d\d-\d\d-\d\d, (accepted|replaced by )", lines[2])
    parts = [line for line in lines if line.startswith("## ")]
    assert parts == ["## Situation", "## Decision", "## Instead of", "## What follows"]


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    assert [int(path.stem[:4]) for path in DECISIONS] == [*range(1, len(DECISIONS) + 1)]
    entries = re.findall(r"^- \[(.*)\]\((.*)\), (\S+)$", text_of("docs/decisions/README.md"), re.MULTILINE)
    heads = [path.read_text().splitlines() for path in DECISIONS]
    assert entries == [
        (head[0].removeprefix("# "), path.name, head[2].partition(",")[0])
        for head, path in zip(heads, DECISIONS, strict=True)
    ]
