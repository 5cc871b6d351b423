"""Which models file a host of a stack or an inventory gets: its own, where one is written for it."""

from pathlib import Path

import pytest

from build.cli.inventory import remote_target
from build.deploy.models_file import DEFAULT, models_files, models_path
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target
from deployment.stack.inventory import inventory_from
from tests.support.ssh_inventory import host_entry, inventory


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two models files."""
    monkeypatch.delenv("AXION_MODELS", raising=False)
    monkeypatch.setenv("AXION_PROJECT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("small.yaml", "large.yaml"):
        (tmp_path / name).write_text("models: {}\n")
    return tmp_path


def hosts(**files: str | None) -> list[Host]:
    """Hosts of an inventory, by the files that it names for them."""
    entries = {name: host_entry(name=name, models=file) for name, file in files.items()}
    read = inventory_from(inventory(**entries))
    targets: list[Target] = [remote_target(read, host) for host in read.hosts.values()]
    return [Host(target, LocalExecutor(), Reporter()) for target in targets]


def test_each_host_gets_the_file_that_is_written_for_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = models_files(None, hosts(one="small.yaml", two="large.yaml", three=None))
    assert files == {"one": project / "small.yaml", "two": project / "large.yaml", "three": DEFAULT}
    assert capsys.readouterr().err == (
        "Models file: small.yaml, as it is written for one. Another: --models FILE\n"
        "Models file: large.yaml, as it is written for two. Another: --models FILE\n"
    )


def test_a_file_that_somebody_names_is_for_all_of_them(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = hosts(one="small.yaml", two=None)
    assert models_files("named.yaml", both) == {"one": Path("named.yaml"), "two": Path("named.yaml")}
    monkeypatch.setenv("AXION_MODELS", "exported.yaml")
    assert models_files(None, both) == {"one": Path("exported.yaml"), "two": Path("exported.yaml")}


def test_a_task_that_changes_one_file_refuses_hosts_of_several(project: Path) -> None:
    assert models_path(None, hosts(one="small.yaml", two="small.yaml")) == project / "small.yaml"
    with pytest.raises(DeployError) as caught:
        models_path(None, hosts(one="small.yaml", two="large.yaml"))
    assert str(caught.value) == (
        "models: the hosts do not serve the same file: small.yaml of one, large.yaml of two. "
        "Add --host NAME or --models FILE."
    )


def test_every_file_that_is_not_here_is_told_before_anything_begins(project: Path) -> None:
    with pytest.raises(DeployError) as caught:
        models_files(None, hosts(one="gone.yaml", two="small.yaml", three="lost.yaml"))
    assert caught.value.problems == (
        f"models: the file that is written for one is not here, got {project}/gone.yaml. Name one: --models FILE.",
        f"models: the file that is written for three is not here, got {project}/lost.yaml. Name one: --models FILE.",
    )
