"""What cannot be deployed is refused before anything is touched: what serves goes on serving."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from deployment.checkpoint.lock import lock_path, write_lock
from tests.support.deployments import lock_of
from tests.support.hollow import checkpoint
from tests.support.local_deployment import LocalDeployment, local_deployment
from tests.support.web import free_port

TEN_MISTAKES = Path(__file__).parents[3] / "support" / "data" / "ten_mistakes.yaml"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
Bend = Callable[[LocalDeployment], None]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    with local_deployment(tmp_path_factory.mktemp("d")) as host:
        host.deploy()
        yield host


@pytest.fixture
def host(deployed: LocalDeployment) -> Iterator[LocalDeployment]:
    """A deployment that is the same after the test as before it, to the process and the file."""
    for name in ("alpha", "beta", "gamma"):
        deployed.add(name)
    deployed.rest.clear()
    deployed.facts.clear()
    before = deployed.pids(), deployed.link("current"), deployed.link("confirmed"), deployed.files()
    assert deployed.answers()
    yield deployed
    assert (deployed.pids(), deployed.link("current"), deployed.link("confirmed"), deployed.files()) == before


def two_models_one_alias(host: LocalDeployment) -> None:
    host.models["alpha"]["aliases"] = ["fast"]
    host.models["beta"]["aliases"] = ["fast"]


def unknown_quantization(host: LocalDeployment) -> None:
    host.models["alpha"]["engine"]["quantization"] = "q4_0"


def context_too_long(host: LocalDeployment) -> None:
    host.models["alpha"]["engine"]["max_model_len"] = 4096


def cache_too_small(host: LocalDeployment) -> None:
    host.models["alpha"]["engine"]["kv_cache_memory_bytes"] = "100KiB"


def memory_too_small(host: LocalDeployment) -> None:
    host.models["beta"]["engine"]["kv_cache_memory_bytes"] = "4TiB"


def no_directory(host: LocalDeployment) -> None:
    host.models["alpha"]["weights"]["path"] = "checkpoints/nowhere"


def no_weights(host: LocalDeployment) -> None:
    (host.checkpoint("empty") / "model.safetensors").unlink()
    host.models["alpha"]["weights"]["path"] = "checkpoints/empty"


def half_the_weights(host: LocalDeployment) -> None:
    """Two files and no index: vLLM would load the one that is there, and answer nothing."""
    whole = host.checkpoint("half") / "model.safetensors"
    whole.rename(whole.with_name(FIRST))
    host.models["alpha"]["weights"]["path"] = "checkpoints/half"


def another_shape(host: LocalDeployment) -> None:
    host.facts["alpha"] = checkpoint(num_hidden_layers=3)


# The key of the sentence: what is wrong where, and what it was told.
REFUSALS: tuple[tuple[Bend, str], ...] = (
    (two_models_one_alias, 'models.beta.aliases[0]: already names alpha, got "fast". Give it to one model only.'),
    (
        unknown_quantization,
        'models.alpha.engine.quantization: not axion_w4, got "q4_0". Give axion_w4 to make bfloat16 weights int4 ',
    ),
    (
        context_too_long,
        "models.alpha.engine.max_model_len: longer than the checkpoint's context of 2048 tokens, got 4096. ",
    ),
    (
        cache_too_small,
        "models.alpha.engine.kv_cache_memory_bytes: one sequence of max_model_len 1024 needs ",
    ),
    (memory_too_small, "lower kv_cache_memory_bytes (largest: beta), serve fewer models, quantize, or take a larger"),
    (no_directory, "models.alpha.weights.path: no such directory, got "),
    (no_weights, "/checkpoints/empty: no *.safetensors, got 2 other files. Take a repository with config.json and "),
    (half_the_weights, f"files are missing, got 1 of 2 without {SECOND}. Put a whole checkpoint there."),
    (another_shape, " is not what the lock file says, got num_hidden_layers 2 where 3 is locked."),
)


@pytest.mark.parametrize(("bend", "sentence"), REFUSALS, ids=[bend.__name__ for bend, _ in REFUSALS])
def test_a_models_file_that_cannot_be_served_is_refused(host: LocalDeployment, bend: Bend, sentence: str) -> None:
    bend(host)
    host.write()
    assert sentence in host.refuse("build-and-deploy")


def test_ten_mistakes_are_told_at_once_each_with_its_line(host: LocalDeployment) -> None:
    text = TEN_MISTAKES.read_text()
    host.write(text)
    write_lock(lock_path(host.file), lock_of(yaml.safe_load(text)))
    places = {line.partition(": ")[0] for line in host.refuse("build-and-deploy").splitlines()}
    assert places == {
        "models.yaml:2 default_model",
        "models.yaml:4 gateway.listen[0]",
        "models.yaml:6 models.chat/fast",
        "models.yaml:10 models.chat/fast.cores",
        "models.yaml:14 models.chat/fast.engine.quantization",
        "models.yaml:15 models.chat/fast.engine.swap_space",
        "models.yaml:16 models.coder.cores",  # missing, because its name is misspelt:
        "models.yaml:20 models.coder.coers",
        "models.yaml:18 models.coder.aliases[0]",
        "models.yaml:22 models.coder.engine.max_model_len",
        "models.yaml:23 models.coder.engine.kv_cache_memory_bytes",
    }


def test_a_port_of_somebody_else_is_refused_when_the_address_changes(host: LocalDeployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        host.rest["gateway"] = {"listen": [f"127.0.0.1:{port}"]}
        host.write()
        said = host.refuse("build-and-deploy")
    assert said == (
        f'gateway.listen[0]: in use on this computer by another program, got "127.0.0.1:{port}". '
        f"Stop it (`ss -ltnp 'sport = :{port}'` shows it) or choose another port.\n"
    )


def test_of_two_deployments_at_once_the_second_names_the_first(host: LocalDeployment) -> None:
    host.write()
    holder = host.popen("restart", "nope")
    try:
        # Stopped while it holds the lock, for as long as this test likes.
        lock = host.root / "state" / "deploy.lock"
        lock.write_text("")
        while "restart" not in lock.read_text():
            assert holder.poll() is None
        os.kill(holder.pid, signal.SIGSTOP)
        said = host.refuse("build-and-deploy")
        assert said.startswith("this computer: being changed by somebody else, got ")
        assert ", `fab restart nope`, since 20" in said
        assert "Wait until it ends; `fab unlock --yes` ends it." in said
        assert host.succeed("status").status == 0
    finally:
        holder.kill()
        holder.communicate(timeout=10)
    assert "Nothing to do" in host.succeed("build-and-deploy").stderr


def test_a_models_file_that_is_not_there_is_named(host: LocalDeployment) -> None:
    said = host.refuse("build-and-deploy", "--models", "/nowhere/models.yaml")
    assert said.startswith("/nowhere/models.yaml: not found.")


def test_a_first_deployment_onto_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    with local_deployment(tmp_path) as host, socket.create_server(("127.0.0.1", host.port)):
        host.write()
        assert "gateway.listen[0]: in use on this computer by another program" in host.refuse("build-and-deploy")
        assert host.processes() == []
        assert host.link("current") is None
        assert not (host.root / "releases").exists()


def test_an_address_that_changes_moves_the_gateway_alone(tmp_path: Path) -> None:
    with local_deployment(tmp_path) as host:
        host.deploy()
        before, old_port = host.pids(), host.port
        host.port = free_port()
        host.deploy()
        assert host.answers()
        assert host.pids() | {"gateway": None} == before | {"gateway": None}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", old_port))
