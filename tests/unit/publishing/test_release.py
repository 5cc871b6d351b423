"""`make release` in a scratch repository, with a gate that says what the test wants: all or nothing, and no push."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from publishing.version import SOURCE, STATED, stated
from tests.unit.test_tidy import listed, name_of

TAKEN = ("Makefile", ".gitignore", "build/", "constraints.txt", "deployment/", "gateway/__init__.py", "policy/",
         "publishing/", "pyproject.toml")  # fmt: skip
CHANGELOG = (
    "# Changelog\n\nWhat a user notices.\n\n## Unreleased\n\n- Two lines\n  of it.\n\n## 0.0.9, 2026-01-01\n\n- Old.\n"
)
GREEN = "mkdir -p out && cp gateway/__init__.py CHANGELOG.md policy/PulumiPolicy.yaml out\n"


@dataclass(frozen=True)
class Scratch:
    """A repository of what a release needs, with a remote that must hear nothing."""

    path: Path
    remote: Path

    def git(self, *arguments: str, at: Path | None = None) -> str:
        done = subprocess.run(["git", *arguments], cwd=at or self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, **files: str) -> None:
        for name, text in files.items():
            {"changelog": self.path / "CHANGELOG.md", "gate": self.path / ".ci" / "run"}[name].write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "As the test wants it")

    def release(self, *words: str) -> "subprocess.CompletedProcess[str]":
        # --old-file: the environment is the one that runs the tests, and no business of this test.
        command = ["make", "--no-print-directory", "--old-file=.venv/.complete", "release", *words]
        environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "VERSION")}
        return subprocess.run(
            command, cwd=self.path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def state(self) -> tuple[str, ...]:
        """What a refusal must leave as it was."""
        remote = self.git("for-each-ref", at=self.remote)
        return self.git("rev-parse", "HEAD"), self.git("status", "--porcelain"), self.git("tag"), remote


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of such a repository, with a version of their own."""
    folder = tmp_path_factory.mktemp("template")
    for path in listed():
        if name_of(path).startswith(TAKEN):
            target = folder / name_of(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for path in STATED:
        text = (folder / path).read_text()
        (folder / path).write_text(text.replace(stated(path, text), "0.1.0", 1))
    (folder / ".ci").mkdir()
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    return folder


@pytest.fixture
def scratch(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    for person in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{person}_NAME", "A Maintainer")
        monkeypatch.setenv(f"GIT_{person}_EMAIL", "maintainer@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    made = Scratch(tmp_path / "checkout", tmp_path / "remote.git")
    shutil.copytree(template, made.path, symlinks=True)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.commit(changelog=CHANGELOG, gate=GREEN)
    made.git("init", "--quiet", "--bare", str(made.remote))
    made.git("push", "--quiet", str(made.remote), "main")
    made.git("remote", "add", "origin", str(made.remote))
    return made


def test_a_release_is_gated_committed_tagged_listed_and_not_pushed(scratch: Scratch) -> None:
    head, _, _, remote = scratch.state()
    ran = scratch.release("VERSION=0.2.0")
    assert ran.returncode == 0, ran.stderr
    assert scratch.state() == (scratch.git("rev-parse", "v0.2.0^{commit}"), "", "v0.2.0", remote)
    assert scratch.git("rev-parse", "HEAD~1") == head
    assert scratch.git("diff", "--name-only", "HEAD~1").splitlines() == [
        "CHANGELOG.md", "gateway/__init__.py", "policy/PulumiPolicy.yaml",
    ]  # fmt: skip
    assert stated(SOURCE, (scratch.path / SOURCE).read_text()) == "0.2.0"
    assert "\nversion: 0.2.0 " in (scratch.path / "policy" / "PulumiPolicy.yaml").read_text()
    text = (scratch.path / "CHANGELOG.md").read_text()
    dated = scratch.git("log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%d")
    assert text.startswith(f"# Changelog\n\nWhat a user notices.\n\n## Unreleased\n\n## 0.2.0, {dated[:4]}-")
    assert text.endswith("\n\n- Two lines\n  of it.\n\n## 0.0.9, 2026-01-01\n\n- Old.\n")
    assert scratch.git("tag", "--list", "--format=%(objecttype) %(contents)") == "tag 0.2.0\n\n- Two lines\n  of it."
    # The gate saw what was tagged.
    for seen in ("__init__.py", "CHANGELOG.md", "PulumiPolicy.yaml"):
        (tagged,) = (name for name in scratch.git("diff", "--name-only", "HEAD~1").splitlines() if name.endswith(seen))
        assert (scratch.path / "out" / seen).read_text() == (scratch.path / tagged).read_text()
    listed_as = json.loads((scratch.path / "out" / "publishing" / "axion-deploy-0.2.0.spdx.json").read_text())
    assert listed_as["packages"][0]["versionInfo"] == "0.2.0"
    assert listed_as["creationInfo"]["created"][:10] in text
    assert ran.stdout.splitlines()[-1] == "    git push --atomic origin main v0.2.0"


def test_the_version_of_the_sources_may_be_the_first_that_is_tagged(scratch: Scratch) -> None:
    scratch.release("VERSION=0.1.0")
    assert scratch.git("tag") == "v0.1.0"


@pytest.mark.parametrize("words", [(), ("VERSION=",)])
def test_a_release_without_a_version_is_refused(words: tuple[str, ...], scratch: Scratch) -> None:
    before = scratch.state()
    ran = scratch.release(*words)
    # 2 is what make says where a recipe ends with 1.
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (2, "VERSION: missing. Run: make release VERSION=1.2.3")
    assert scratch.state() == before
    assert not (scratch.path / "out").exists()


def test_a_tag_is_never_moved(scratch: Scratch) -> None:
    scratch.git("tag", "v0.10.0")
    before = scratch.state()
    assert scratch.release("VERSION=0.10.0").stderr.startswith("VERSION: the tag v0.10.0 exists, got 0.10.0. Choose ")
    assert scratch.state() == before
    assert scratch.release("VERSION=0.10.1").returncode == 0


def test_everything_that_stands_in_the_way_is_said_at_once(scratch: Scratch) -> None:
    scratch.commit(changelog="# Changelog\n\n## Unreleased\n\n## 0.1.0, 2026-01-01\n\n- Old.\n")
    scratch.git("switch", "--quiet", "--detach")
    (scratch.path / "new").touch()
    (scratch.path / "Makefile").open("a").write("# mine\n")
    before = scratch.state()
    ran = scratch.release("VERSION=1")
    assert ran.stderr.splitlines()[:-1] == [
        "VERSION: not three numbers such as 1.2.3, got 1. Correct it.",
        "checkout: has changes, got M Makefile, ?? new. "
        "Commit them, or put them away by `git stash --include-untracked`.",
        "checkout: on no branch, so that the commit would be lost. Run `git switch main`.",
        "CHANGELOG.md: nothing under Unreleased. Write there what a user notices, and how to migrate.",
    ]
    assert scratch.state() == before


def test_what_a_failed_gate_saw_is_put_back(scratch: Scratch) -> None:
    scratch.commit(gate=GREEN + "exit 3\n")
    before = scratch.state()
    ran = scratch.release("VERSION=0.2.0")
    assert ran.returncode == 2
    assert "gate: .ci/run failed, so nothing was tagged." in ran.stderr
    assert stated(SOURCE, (scratch.path / "out" / "__init__.py").read_text()) == "0.2.0"
    assert scratch.state() == before
    assert not (scratch.path / "out" / "publishing").exists()


def test_what_somebody_wrote_while_the_gate_ran_is_neither_tagged_nor_lost(scratch: Scratch) -> None:
    scratch.commit(gate="echo '- Mine.' >> CHANGELOG.md\n")
    head = scratch.state()[0]
    ran = scratch.release("VERSION=0.2.0")
    assert "checkout: changed while the gate ran, so nothing was tagged." in ran.stderr
    assert (scratch.state()[0], scratch.git("tag")) == (head, "")
    assert (scratch.path / "CHANGELOG.md").read_text().endswith("- Mine.\n")
    assert stated(SOURCE, (scratch.path / SOURCE).read_text()) == "0.1.0"


def test_a_tag_that_git_refuses_leaves_no_commit_behind(scratch: Scratch) -> None:
    scratch.commit(gate="git tag v0.2.0\n")
    head, status, _, remote = scratch.state()
    ran = scratch.release("VERSION=0.2.0")
    assert "git: `git tag` failed, so nothing was tagged." in ran.stderr
    assert scratch.state() == (head, status, "v0.2.0", remote)


def test_the_gate_hears_nothing_of_what_make_was_told(scratch: Scratch) -> None:
    scratch.commit(gate='[ -z "${VERSION:-}${MAKEFLAGS:-}" ]\n')
    assert scratch.release("VERSION=0.2.0").returncode == 0
