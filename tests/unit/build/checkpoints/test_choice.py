"""Which models file a task means on this computer: what was deployed here, until it is stopped; never a cloud's."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.deploy.models_file import DEFAULT, keep, kept, models_path
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target
from tests.support.fakes.engine_environment import REPOSITORY
from tests.support.local_deployment import FAB, LocalDeployment


class Person(LocalDeployment):
    """Somebody who exports nothing."""

    def popen(self, *words: str) -> "subprocess.Popen[str]":
        env = {key: value for key, value in os.environ.items() if not key.startswith(("AXION_", "COLUMNS", "FORCE_"))}
        env |= {"AXION_LOCAL_ROOT": str(self.root)}
        return subprocess.Popen(
            (str(FAB), *words), cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    host = Person(tmp_path_factory.mktemp("p"))
    host.write()
    relative = os.path.relpath(host.file, REPOSITORY)
    assert "alpha, beta, gamma" in host.succeed("build-and-deploy", "--models", relative).said
    try:
        yield host
    finally:
        host.end()


def test_a_plain_plan_after_a_deployment_is_about_what_was_deployed_and_says_so(person: Person) -> None:
    ran = person.succeed("plan")
    assert "Nothing to do: " in ran.stdout
    assert f"Models file: {person.file}, as it was deployed here. Another: --models FILE" in ran.stderr
    assert set(person.json("plan")) >= {"release"}  # what programs read is not disturbed
    person.models["alpha"]["description"] = "edited"
    person.write()
    assert "serves alpha, beta, gamma" in person.succeed("build-and-deploy").said
    assert "gemma3_multimodal" in person.refuse("plan", "--models", "models.yaml")  # the production file


def test_what_was_withdrawn_is_not_gone_by(person: Person) -> None:
    broken = person.file.with_name("broken.yaml")
    person.checkpoint("broken", exit=3)
    kept_file, kept_weights = person.file, person.models["beta"]["weights"]
    person.models["beta"]["weights"] = {"path": "checkpoints/broken"}
    person.file = broken
    person.write()
    assert "serves again" in person.refuse("build-and-deploy", "--models", str(broken))
    person.models["beta"]["weights"], person.file = kept_weights, kept_file
    assert f"Models file: {kept_file}, " in person.succeed("plan").said


def test_a_file_that_is_gone_is_named_and_nothing_else_is_taken_for_it(person: Person) -> None:
    away = person.file.rename(person.file.with_name("away.yaml"))
    said = person.refuse("build-and-deploy")
    assert said == (
        f"models: the file that was deployed here is gone, got {person.file}. Name another one: --models FILE.\n"
    )
    assert person.answers()
    away.rename(person.file)


def test_a_stop_forgets_it_and_says_what_starts_it_again(person: Person) -> None:
    said = person.succeed("stop").said
    assert f"`fab build-and-deploy --models {person.file}` starts it again." in said
    assert "as it was deployed here" not in person.fab("plan").said
    assert "`fab build-and-deploy` starts it again." not in said


def host_at(root: Path, *, user: str | None) -> Host:
    target = Target(name="one", root=str(root), runner="systemd", python="python3", user=user)
    return Host(target, LocalExecutor(), Reporter())


def test_a_task_for_another_host_never_goes_by_what_this_computer_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where both have their things in the same place."""
    monkeypatch.delenv("AXION_MODELS", raising=False)
    file = tmp_path / "demo.yaml"
    file.write_text("models: {}\n")
    (tmp_path / "state").mkdir()
    here = host_at(tmp_path, user=None)
    there = host_at(tmp_path, user="axion")
    keep(here.target, file)
    assert models_path(None, [here]) == file
    assert models_path(None, [there]) == DEFAULT == REPOSITORY / "models.yaml"
    keep(there.target, tmp_path / "other.yaml")
    assert (kept(here.target), kept(there.target)) == (file, None)
    monkeypatch.setenv("AXION_MODELS", "exported.yaml")
    assert models_path(None, [here]) == Path("exported.yaml")
    assert models_path("named.yaml", [here]) == Path("named.yaml")


def test_two_checkouts_keep_what_each_has_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AXION_MODELS", raising=False)
    hosts = []
    for name in ("one", "two"):
        (tmp_path / name / "state").mkdir(parents=True)
        (tmp_path / name / "models.yaml").write_text("models: {}\n")
        hosts.append(host_at(tmp_path / name, user=None))
        keep(hosts[-1].target, tmp_path / name / "models.yaml")
    assert [models_path(None, [host]) for host in hosts] == [tmp_path / "one/models.yaml", tmp_path / "two/models.yaml"]
    shutil.rmtree(tmp_path / "one" / "state")
    assert models_path(None, hosts[:1]) == DEFAULT
