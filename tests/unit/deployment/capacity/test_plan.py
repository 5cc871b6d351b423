"""Engines beside each other, the division of cores, and the number of hosts, on the production models."""

from pathlib import Path

import pytest

from deployment.capacity.cores import divided
from deployment.capacity.host import outcomes, queues_of, refusals
from deployment.capacity.load import LoadFile, loads_of
from deployment.capacity.machine import assumed
from deployment.capacity.plan import alone, cheapest, cheapest_shapes, choices, fewest, fleet, shape_of, usd_per_million
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.stack.catalog import load_catalog

BASELINE = Path("kernels/bench/baseline.json")
DEPLOYMENT, CATALOG = load_deployment(Path("models.yaml")), load_catalog()
MIDDLE = assumed(32)["middle"]
SHAPE = shape_of("c4a-standard-32", CATALOG)


def test_idle_neighbours_leave_the_memory_and_busy_ones_take_their_part() -> None:
    quiet, busy = (
        outcomes(queues_of(DEPLOYMENT, asked, MIDDLE, BASELINE), asked)["gemma3_multimodal"].bytes_per_s
        for asked in (loads_of(LoadFile(requests_per_min=each), DEPLOYMENT, "load") for each in (0.01, 300.0))
    )
    assert quiet == pytest.approx(250e9, rel=0.02)
    assert 250e9 * 13 / 24 <= busy < 170e9


def test_all_cores_are_divided_and_more_go_to_whom_is_asked_more() -> None:
    asked = loads_of(LoadFile(requests_per_min=8), DEPLOYMENT, "load")
    found = divided(DEPLOYMENT, queues_of(DEPLOYMENT, asked, MIDDLE, BASELINE), asked, 28)
    assert sum(found.values()) == 28
    assert max(found, key=lambda name: found[name]) == "gemma3_multimodal"
    models = {"phi4_fast": {"share": 50}, "gemma3_multimodal": {"share": 1}}
    other = loads_of(LoadFile.model_validate({"requests_per_min": 60, "models": models}), DEPLOYMENT, "load")
    shifted = divided(DEPLOYMENT, queues_of(DEPLOYMENT, other, MIDDLE, BASELINE), other, 28)
    assert shifted["phi4_fast"] > found["phi4_fast"]


def test_the_fewest_hosts_meet_the_load_and_one_fewer_does_not() -> None:
    asked = loads_of(LoadFile(requests_per_min=300, prompt_tokens=64, output_tokens=64), DEPLOYMENT, "load")
    found = fewest(DEPLOYMENT, asked, SHAPE, MIDDLE, BASELINE)
    assert found is not None
    assert found.problems == []
    assert found.hosts > 1
    assert fleet(DEPLOYMENT, asked, SHAPE, found.hosts - 1, MIDDLE, BASELINE).problems != []


def test_a_target_that_no_number_of_hosts_reaches_is_none() -> None:
    asked = loads_of(LoadFile(requests_per_min=1, tokens_per_s=500), DEPLOYMENT, "load")
    assert fewest(DEPLOYMENT, asked, SHAPE, MIDDLE, BASELINE) is None


def test_a_tighter_target_never_costs_less() -> None:
    one = alone(DEPLOYMENT, "phi4_fast")
    costs = []
    for ttft in (20.0, 2.0, 0.8):
        asked = loads_of(LoadFile(requests_per_min=60, ttft_p95_s=ttft), one, "load")
        best = cheapest(list(choices(one, asked, "us-central1", CATALOG, BASELINE)))
        assert best is not None
        costs.append(best.on_demand_usd or 0)
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


def test_a_million_tokens_cost_the_hours_that_they_take() -> None:
    asked = loads_of(LoadFile(requests_per_min=60, output_tokens=100), DEPLOYMENT, "load")
    # 100 tokens a second: a million in 10,000 s, at 1.44 USD an hour.
    assert usd_per_million(1.44, asked) == pytest.approx(4.0)
    assert usd_per_million(None, asked) is None


def test_machines_are_the_cheapest_in_which_the_models_fit() -> None:
    names = [shape.machine_type for shape in cheapest_shapes(DEPLOYMENT, "us-central1", CATALOG)]
    assert names == ["c4a-highmem-16", "c4a-standard-32", "c4a-highcpu-48", "c4a-highcpu-64", "c4a-highcpu-72"]
    assert cheapest_shapes(DEPLOYMENT, "nowhere-1", CATALOG) == []


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ("n4a-standard-8", "its cores are not Neoverse V2, for which the kernels are modelled"),
        ("c4a-standard-96-metal", "no figure of more than 72 cores"),
        ("e2-micro", "no machine type of the catalog"),
    ],
)
def test_a_machine_of_which_nothing_is_known_is_refused(machine: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        shape_of(machine, CATALOG)
    assert caught.value.problems == (f"--machine: {said}, got {machine}. Use one of c4a, such as c4a-standard-32.",)


def test_what_no_figure_supports_is_refused_all_at_once() -> None:
    model = DEPLOYMENT.models["gemma3_multimodal"]
    engine = model.engine.model_copy(update={"dtype": "float32", "max_num_seqs": 65})
    odd = DEPLOYMENT.model_copy(
        update={
            "host": DEPLOYMENT.host.model_copy(update={"core_policy": "shared"}),
            "models": {"gemma3_multimodal": model.model_copy(update={"engine": engine, "cores": 73})},
        }
    )
    asked = loads_of(LoadFile(requests_per_min=1, prompt_tokens=8200), odd, "load")
    assert [problem.partition(",")[0] for problem in refusals(odd, asked)] == [
        "host.core_policy: engines that share cores slow each other in a way that is not modelled",
        "models.gemma3_multimodal.engine.dtype: no figure of float32 kernels",
        "models.gemma3_multimodal.cores: no figure of more than 72 cores",
        "models.gemma3_multimodal.engine.max_num_seqs: no figure of more than 64",
        "load of gemma3_multimodal: no figure of more than 8192 tokens",
    ]
