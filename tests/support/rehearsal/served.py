"""What a rehearsal serves: the demonstration's models with real vLLM, or, to be quick, stand-ins for engines."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from deployment.checkpoint.facts import Checkpoint
from tests.support.arm.host import REPOSITORY
from tests.support.deployments import demonstration_checkpoints, model
from tests.support.hollow import write_checkpoint
from tests.support.machines.standin import standin_layers
from tests.support.rehearsal.way_in import WayIn

ON_HOST = "/srv/models"
DEMO = REPOSITORY / "examples" / "demo" / "models.yaml"
DEMO_MODELS = REPOSITORY / "out" / "demo" / "models"
BUILDS = "/srv/builds"


class Served(Protocol):
    """The models file, and what of it the host has from elsewhere."""

    @property
    def model(self) -> str: ...

    @property
    def question(self) -> str: ...

    @property
    def expects(self) -> str: ...

    def document(self) -> dict[str, Any]:
        """The models file as data."""
        ...

    @property
    def checkpoints(self) -> Mapping[str, Checkpoint]:
        """The facts of the models that are not tiny stand-ins."""
        ...

    @property
    def layers(self) -> tuple[Path, ...]: ...

    @property
    def binds(self) -> tuple[str, ...]: ...

    def prepare(self, host: WayIn) -> None:
        """Do to a fresh host what only a stand-in needs."""
        ...


@dataclass(frozen=True, slots=True)
class Demonstration:
    """Real vLLM, which the deployment builds on the host, and four small models in a directory of the host's."""

    model: str = "smollm2"
    question: str = "What is the capital of France?"
    expects: str = "Paris"
    layers: tuple[Path, ...] = ()
    binds: tuple[str, ...] = (f"--bind-ro={DEMO_MODELS}:{ON_HOST}",)

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load(DEMO.read_text())
        for each in document["models"].values():
            each["weights"] = {"path": f"{ON_HOST}/{Path(each['weights']['path']).name}"}
        return document

    @property
    def checkpoints(self) -> Mapping[str, Checkpoint]:
        return demonstration_checkpoints()

    def prepare(self, host: WayIn) -> None:
        """Nothing: all of it is the deployment's work."""


@dataclass(frozen=True, slots=True)
class StandIns:
    """Two engines that only look like vLLM, in an environment that looks as if it had been built on the host."""

    folder: Path
    model: str = "alpha"
    question: str = "?"
    expects: str = "alpha alpha alpha "

    def document(self) -> dict[str, Any]:
        models = {name: model(weights={"path": f"{ON_HOST}/{name}"}) for name in ("alpha", "beta")}
        host = {"reserved_cores": 0, "reserved_memory": "1GiB", "core_policy": "shared"}
        return {"default_model": "alpha", "gateway": {"listen": ["127.0.0.1:8080"]}, "host": host, "models": models}

    @property
    def checkpoints(self) -> Mapping[str, Checkpoint]:
        return {}

    @property
    def layers(self) -> tuple[Path, ...]:
        return standin_layers("amd64")

    @property
    def binds(self) -> tuple[str, ...]:
        for name in ("alpha", "beta"):
            write_checkpoint(self.folder / "models" / name)
        environment = self.layers[0] / "opt" / "axion" / "builds"
        return (f"--bind-ro={self.folder / 'models'}:{ON_HOST}", f"--bind-ro={environment}:{BUILDS}")

    def prepare(self, host: WayIn) -> None:
        host.wait_for_keys()
        # The data disk covers what the layer has below /opt/axion.
        host.run(
            "until mountpoint -q /opt/axion; do sleep 0.2; done\n"
            f"mkdir -p /opt/axion/builds && cp --archive {BUILDS}/. /opt/axion/builds/"
        )
