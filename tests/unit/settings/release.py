"""What reaches the programs of a host: each file of a release, read as its own reader reads it."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from agent.engine_unit import parse_environment
from agent.protocol import PullSource
from build.checkpoints.pull import Means, hub_models, pull_job, wanted_models
from build.deploy.models_file import models_path
from build.deploy.prepare import choose_recipe, make_release
from build.engine.recipe import Recipe
from build.engine.sources import Sources
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import REPOSITORY, Target
from deployment.checkpoint.lock import lock_path, read_lock
from deployment.models.load import load_deployment
from deployment.models.sizing import HostFacts, plan
from deployment.models.spec import Deployment
from deployment.quantities import GIB
from deployment.render.release import GATEWAY_CODE, RenderedFile
from gateway.config_file import parse_config
from tests.support.hosts import facts
from tests.unit.settings.table import Seen, seen

FACTS = facts(machine="aarch64")
SIZE = HostFacts(name="walk", cores=32, memory_bytes=128 * GIB)
RECIPES: dict[str | None, Recipe] = {}
"""By what asks for them: naming one reads all sources of our kernels."""


def arrivals(models_file: Path, *targets: Target) -> list[Seen]:
    """Everything that a deployment of this file to each target hands on, as `FILE key`, or `fab TASK key`."""
    served = load_deployment(models_file)
    return [_arrivals(served, models_file, target) for target in targets]


def of_host(target: Target) -> Seen:
    """The same for a host of an inventory, with the models file that `fab` takes for it."""
    file = models_path(None, [Host(target, LocalExecutor(), Reporter())])
    (found,) = arrivals(file, target)
    named = file.relative_to(REPOSITORY) if file.is_relative_to(REPOSITORY) else file
    return {"fab models file": str(named), **{f"host {place}": value for place, value in found.items()}}


def _arrivals(served: Deployment, models_file: Path, target: Target) -> Seen:
    asked = served.host.engine
    if asked not in RECIPES:
        RECIPES[asked] = choose_recipe(served, FACTS, engine=None, sources=Sources())
    release = make_release(served, plan(served, SIZE, target.root), target, models_file, RECIPES[asked], FACTS)
    found = {"engine environment origin": RECIPES[asked].origin, **_pulled(served, models_file, target)}
    for file in release.files:
        if not file.path.startswith((GATEWAY_CODE, "engines/beta.")):
            found |= _read(file)
    return found


def _read(file: RenderedFile) -> dict[str, Any]:
    """A file's values, by the parser of the program that starts from it."""
    path, text = Path(file.path), file.text
    if path.name == "gateway.json":
        return seen(parse_config(text.encode(), where=path.name).config.model_dump(mode="json"), file.path)
    if path.suffix == ".yaml":
        return seen(yaml.safe_load(text), file.path)
    if path.suffix == ".env":
        return seen(parse_environment(text, path), file.path)
    if path.parts[0] == "systemd":
        return seen(_unit(text), file.path)
    return {file.path: text}


def _unit(text: str) -> dict[str, str | list[str]]:
    """A unit's settings: those that are said several times as a list."""
    said: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        key, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            said[key].append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in said.items()}


def _pulled(served: Deployment, models_file: Path, target: Target) -> dict[str, Any]:
    """What the script that downloads is told, and which secret it is given."""
    wanted = wanted_models(served, hub_models(served), read_lock(lock_path(models_file)))
    means = Means(python="python3", source=PullSource(kind="hub", place="https://hub"))
    job = pull_job(target, wanted, means)
    order = json.loads(job.steps[0].argv[-1])
    credentials = {name: getattr(each, "secret", None) for name, each in job.credentials.items()}
    return seen({**order["models"], "credentials": credentials}, "fab models-pull")
