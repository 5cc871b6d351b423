"""What `pulumi install` puts into .venv is what the dependency group says, at the pinned versions."""

import tomllib
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[3]


def test_requirements_and_the_infra_group_are_the_same() -> None:
    group = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]["infra"]
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith(("#", "--"))] == group
    assert "--constraint constraints.txt" in lines


def test_pulumi_uses_the_environment_that_make_setup_fills() -> None:
    runtime = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())["runtime"]
    assert runtime == {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}}
    assert "VENV := .venv" in (REPOSITORY / "Makefile").read_text()


def test_the_project_has_no_other_program_folder() -> None:
    """`main:` would change the working folder, and with it what `import infra` finds."""
    assert "main" not in yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())


def test_no_example_holds_a_secret_or_the_salt_of_one() -> None:
    for path in REPOSITORY.glob("Pulumi.*.yaml"):
        data = yaml.safe_load(path.read_text())
        assert list(data) == ["config"], path.name
        assert "secure" not in path.read_text(), path.name
