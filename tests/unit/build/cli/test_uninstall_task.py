"""`fab uninstall` on this computer: what is ours goes with its processes, what was there stays, and it serves again."""

from collections.abc import Iterator

import pytest

from tests.support.local_deployment import LocalDeployment, local_deployment
from tests.unit.agent.test_uninstall import everything


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    with local_deployment(tmp_path_factory.mktemp("u")) as deployed:
        yield deployed


def test_a_host_is_as_it_was_and_can_be_deployed_to_again(host: LocalDeployment) -> None:
    mine = {"work/thesis.txt": "mine", "models/own/config.json": "{}", "notes": "mine"}
    for name, text in mine.items():
        (host.root / name).parent.mkdir(parents=True, exist_ok=True)
        (host.root / name).write_text(text)
    kept = host.root.with_name("kept")
    (host.root / "builds").rename(kept)
    (host.root / "builds").symlink_to(kept)  # as to the environments of another checkout
    before, environment = everything(host.root), everything(kept)
    host.deploy()
    assert host.answers()

    refused = host.fab("uninstall")
    assert refused.status == 1
    assert "uninstall: nothing was removed, got no answer. Say yes, or add --yes." in refused.stderr
    assert "what serves now: alpha, beta, gamma, the gateway" in refused.said
    assert f"{host.root}/builds: not ours" in refused.said
    assert f"{host.root}/work/thesis.txt: not ours" in refused.said
    assert f"{host.checkpoints()}/alpha: a checkpoint that the models file names by its path" in refused.said
    assert host.answers()

    host.succeed("uninstall", "--yes")
    assert everything(host.root) == before
    assert host.processes() == []
    assert (host.checkpoints() / "alpha").is_dir()
    assert [each for each in everything(kept) if "__pycache__" not in each] == environment
    assert "this computer: nothing of ours is there." in host.succeed("uninstall", "--yes").said
    assert everything(host.root) == before

    host.deploy()
    assert host.answers()


def test_what_lost_its_runner_and_its_release_is_ended_all_the_same(host: LocalDeployment) -> None:
    host.succeed("uninstall", "--yes")
    host.deploy()
    (host.root / "current").unlink()
    host.succeed("uninstall", "--yes")
    assert host.processes() == []
