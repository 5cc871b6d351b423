"""Models on demand in models.yaml: what fits, what is refused, and what a host gets of it."""

import json
from typing import Any

import pytest

from deployment.errors import ConfigError
from deployment.models.memory import estimate_memory
from deployment.models.sizing import HostFacts, plan
from deployment.models.spec import Deployment
from deployment.quantities import GIB
from deployment.render.files import Place, gateway_file
from tests.support.deployments import deployment, model

SHARED = {"core_policy": "shared", "reserved_cores": 0, "reserved_memory": "1GiB"}


def served(**on_demand: Any) -> Deployment:
    """alpha always runs; beta and gamma are on demand, gamma with a larger cache."""
    models = {
        "alpha": model(),
        "beta": model(on_demand=True, **on_demand),
        "gamma": model(on_demand=True, engine={"kv_cache_memory_bytes": "1GiB"}),
    }
    return deployment(models, host=SHARED)


def sizes(chosen: Deployment) -> dict[str, int]:
    return {name: estimate_memory(each).total for name, each in chosen.models.items()}


def host(memory_bytes: int) -> HostFacts:
    return HostFacts(name="small", cores=4, memory_bytes=memory_bytes)


def test_those_that_always_run_and_the_largest_on_demand_must_fit_and_no_more() -> None:
    chosen = served()
    each = sizes(chosen)
    needed = GIB + each["alpha"] + each["gamma"]
    found = plan(chosen, host(needed), "/opt/axion")
    assert found.on_demand_bytes == each["gamma"]
    assert found.free_bytes == 0
    with pytest.raises(ConfigError) as refused:
        plan(chosen, host(needed - 1), "/opt/axion")
    (said,) = refused.value.problems
    assert said.startswith("models: small has ")
    assert "\n    alpha " in said
    assert "\n    gamma " in said
    assert "\n    beta " not in said  # it would fit


def test_what_those_that_always_run_leave_is_the_memory_of_all_on_demand() -> None:
    chosen = served()
    each = sizes(chosen)
    found = plan(chosen, host(64 * GIB), "/opt/axion")
    assert found.on_demand_bytes == 63 * GIB - each["alpha"]
    assert found.free_bytes == 63 * GIB - sum(each.values())
    assert plan(deployment(host=SHARED), host(64 * GIB), "/opt/axion").on_demand_bytes == 0


@pytest.mark.parametrize("runner", ["systemd", "supervisor"])
def test_the_gateway_is_told_what_each_takes_and_what_all_may(runner: Any) -> None:
    chosen = served(keep_warm=True)
    found = plan(chosen, host(64 * GIB), "/srv/axion")
    told = json.loads(gateway_file(chosen, found, Place(root="/srv/axion", runner=runner)).text)
    assert told["memory"] == {
        "budget_bytes": found.on_demand_bytes,
        "starter": "/run/axion/starter.sock" if runner == "systemd" else "/srv/axion/run/engine-starter.sock",
    }
    each = sizes(chosen)
    assert {one["name"]: one["on_demand"] for one in told["models"]} == {
        "alpha": None,
        "beta": {"memory_bytes": each["beta"], "idle_stop_s": 900.0, "keep_warm": True},
        "gamma": {"memory_bytes": each["gamma"], "idle_stop_s": 900.0, "keep_warm": False},
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"keep_warm": True},
            "models.alpha.keep_warm: only for a model on demand, got true. Add on_demand: true, or delete it.",
        ),
        (
            {"idle_stop_s": 60.0},
            "models.alpha.idle_stop_s: only for a model on demand, got 60.0. Add on_demand: true, or delete it.",
        ),
        (
            {"on_demand": True, "keep_warm": True, "idle_stop_s": 60.0},
            "models.alpha.idle_stop_s: a model that is kept warm is never unused, got 60.0. Delete one of the two.",
        ),
    ],
)
def test_a_key_that_would_mean_nothing_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        deployment({"alpha": model(**changes)})
    (problem,) = refused.value.problems
    assert problem.endswith(said)
