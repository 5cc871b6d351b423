"""A model of a hub from nothing to an answer: real `fab`, the hub and the engine stand-ins."""

from pathlib import Path

from tests.support.deployments import model
from tests.support.fakes.hub import FakeHub, Repository
from tests.support.hollow import TINY, repository_files
from tests.support.local_deployment import LocalDeployment, local_deployment
from tests.support.pulls import COMMIT

NEXT = "f" * 40


def serve(host: LocalDeployment, commit: str) -> None:
    host.models = {"alpha": model(weights={"hub": "org/tiny", "revision": commit}, engine={"enforce_eager": True})}


def test_a_deployment_downloads_with_its_environment_and_forgets_what_no_release_names(
    hub: FakeHub, tmp_path: Path
) -> None:
    """The interpreter that environments are made from has no huggingface_hub: with it the download would fail."""
    files = {name: content[:] for name, content in repository_files(TINY).items()}
    hub.repositories["org/tiny"] = Repository(COMMIT, files)
    with local_deployment(tmp_path) as host:
        serve(host, COMMIT)
        host.deploy()
        assert host.answers()
        hub.repositories["org/tiny"] = Repository(NEXT, {**files, "generation_config.json": b"{}"})
        hub.sent.clear()
        serve(host, NEXT)
        host.deploy()
        assert host.answers()
        print(dict(hub.sent))
        assert hub.sent["model.safetensors"] == 0
        kept = {path.name for path in (host.root / "models" / "alpha").iterdir()}
        assert kept == {COMMIT, NEXT}, "the release before this one still names its own"
        host.succeed("models-pull")
        (host.root / "models" / "alpha" / NEXT / "model.safetensors").unlink()
        said = host.refuse("plan")
        assert f"models.alpha.weights: {host.root}/models/alpha/{NEXT}: no *.safetensors, got " in said
