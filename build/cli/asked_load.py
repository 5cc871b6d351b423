"""What a command line says of a load: a file, or its options."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from build.errors import DeployError
from deployment.capacity.load import REQUESTS_PER_MIN, Load, LoadFile, Target, loads_of, read_load
from deployment.capacity.plan import shape_of
from deployment.document import parse_document, read_text
from deployment.errors import ConfigError
from deployment.models.spec import Deployment
from deployment.stack.catalog import load_catalog
from deployment.stack.shape import Shape

OPTIONS = ("requests_per_min", "prompt_tokens", "output_tokens", "ttft_p95_s", "tokens_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Of all models, unless a file tells them apart."""

    file: str | None
    options: Mapping[str, float | None]
    """By the names that they have in a load file."""

    @classmethod
    def of(
        cls,
        file: str | None,
        requests_per_min: float | None,
        prompt_tokens: int | None,
        output_tokens: int | None,
        ttft_p95_s: float | None,
        tokens_per_s: float | None,
    ) -> Self:
        """Take the options in the order in which tasks have them."""
        values = (requests_per_min, prompt_tokens, output_tokens, ttft_p95_s, tokens_per_s)
        return cls(file=file, options=dict(zip(OPTIONS, values, strict=True)))

    def loads(self, deployment: Deployment, requests_per_min: float = REQUESTS_PER_MIN) -> Mapping[str, Load]:
        """Each model's load. Raises ConfigError, or DeployError where file and options are both given."""
        given = {name: value for name, value in self.options.items() if value is not None}
        if self.file is None:
            said = LoadFile.model_validate({"requests_per_min": requests_per_min, **given})
            return loads_of(said, deployment, "load")
        if given:
            named = ", ".join(f"{name}: {value:g}" for name, value in given.items())
            raise DeployError(f"--load: a file says all of the load, got options beside it. Write `{named}` into it.")
        file = Path(self.file)
        return read_load(parse_document(read_text(file), file.name), deployment)

    def targets(self, deployment: Deployment) -> Mapping[str, Target]:
        """How fast the answers of models must be, of those where it matters. Raises ConfigError, or DeployError."""
        if self.file is None:
            goals = Target(ttft_p95_s=self.options["ttft_p95_s"], tokens_per_s=self.options["tokens_per_s"])
            found = dict.fromkeys(deployment.models, goals)
        else:
            found = {name: load.target for name, load in self.loads(deployment).items()}
        return {name: target for name, target in found.items() if target != Target()}


def shape_and_loads(
    machine_type: str, asked: Asked, deployment: Deployment, requests_per_min: float = REQUESTS_PER_MIN
) -> tuple[Shape, Mapping[str, Load]]:
    """Read both. Raises ConfigError or DeployError with the mistakes of either."""
    try:
        shape = shape_of(machine_type, load_catalog())
    except ConfigError as error:
        try:
            asked.loads(deployment, requests_per_min)
        except (ConfigError, DeployError) as other:
            raise ConfigError([*error.problems, *other.problems]) from None
        raise
    return shape, asked.loads(deployment, requests_per_min)
