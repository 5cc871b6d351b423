"""What is proposed for the production models: it fits, it is no worse than what there is, and it is always the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from deployment.capacity.host import on_demand_note
from deployment.capacity.load import LoadFile, loads_of
from deployment.capacity.machine import assumed
from deployment.capacity.plan import facts_of, shape_of
from deployment.capacity.tune import Search, Tuned, _with_kv, break_even, kv_bytes, score, tuned
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.sizing import plan
from deployment.stack.catalog import load_catalog

DEPLOYMENT = load_deployment(Path("models.yaml"))


def search(machine: str, **said: object) -> Search:
    shape = shape_of(machine, load_catalog())
    return Search(
        loads=loads_of(LoadFile.model_validate({"requests_per_min": 8, **said}), DEPLOYMENT, "load"),
        shape=shape,
        machine=assumed(shape.vcpus)["middle"],
        baseline=Path("kernels/bench/baseline.json"),
    )


@pytest.fixture(scope="module")
def proposed() -> Tuned:
    return tuned(DEPLOYMENT, search("c4a-standard-32"))


def test_it_fits_the_machine_and_uses_all_of_its_cores(proposed: Tuned) -> None:
    shape = shape_of("c4a-standard-32", load_catalog())
    assert plan(proposed.deployment, facts_of(shape), "/opt/axion").free_bytes >= 0
    assert sum(model.cores for model in proposed.deployment.models.values()) == 28


def test_it_is_no_worse_than_todays_file_by_its_own_model(proposed: Tuned) -> None:
    assert proposed.before is not None
    assert score(proposed.outcomes, 0) >= score(proposed.before, 0)
    assert score(proposed.before, 0) < score(proposed.outcomes, 0)  # for these, there is something to gain


def test_it_is_no_worse_either_where_todays_file_is_hard_to_beat(proposed: Tuned) -> None:
    again = tuned(proposed.deployment, search("c4a-standard-32"))
    assert again.before is not None
    assert score(again.outcomes, kv_bytes(again.deployment)) >= score(again.before, kv_bytes(proposed.deployment))
    assert [again.changes(name) for name in DEPLOYMENT.models] == [proposed.changes(name) for name in DEPLOYMENT.models]


def test_a_target_moves_cores_to_whom_it_is_for() -> None:
    models = {"gemma3_multimodal": {"ttft_p95_s": 16}}
    wanted = tuned(DEPLOYMENT, search("c4a-standard-32", requests_per_min=4, models=models))
    assert wanted.outcomes["gemma3_multimodal"].problems == ()
    free = tuned(DEPLOYMENT, search("c4a-standard-32", requests_per_min=4))
    assert wanted.deployment.models["gemma3_multimodal"].cores > free.deployment.models["gemma3_multimodal"].cores


def test_a_step_is_as_long_as_running_answers_may_pause_and_no_shorter_than_kernels_need(proposed: Tuned) -> None:
    assert {name: proposed.changes(name)["engine.max_num_batched_tokens"] for name in DEPLOYMENT.models} == {
        "gemma3_multimodal": 512, "mistral_balanced": 128, "qwen_coder": 128, "phi4_fast": 128
    }  # fmt: skip


def test_guesses_are_worth_it_where_memory_is_the_limit() -> None:
    wide = search("c4a-standard-72")
    model = DEPLOYMENT.models["qwen_coder"]
    few = wide.engine(model)
    many = replace(few, threads=60)
    assert break_even(few, 640) > 2.2
    assert break_even(many, 640) < 1.7
    alone = DEPLOYMENT.model_copy(update={"models": {"qwen_coder": model}, "default_model": "qwen_coder"})
    found = tuned(alone, replace(wide, loads={"qwen_coder": wide.loads["qwen_coder"]}))
    assert found.changes("qwen_coder")["engine.speculative_config"] == {"method": "ngram", "num_speculative_tokens": 3}


def test_a_machine_that_is_too_small_is_refused() -> None:
    with pytest.raises(ConfigError, match="c4a-standard-8 has 8 cores, got"):
        tuned(DEPLOYMENT, search("c4a-standard-8"))


def test_of_models_on_demand_the_largest_counts() -> None:
    """On a machine whose memory holds not all four at once."""
    shape = shape_of("c4a-highcpu-16", load_catalog())
    assert _with_kv(DEPLOYMENT, shape) is None
    on_demand = {name: model.model_copy(update={"on_demand": True}) for name, model in DEPLOYMENT.models.items()}
    found = _with_kv(DEPLOYMENT.model_copy(update={"models": on_demand}), shape)
    assert found is not None
    assert on_demand_note(found).startswith("On demand: gemma3_multimodal, mistral_balanced, qwen_coder, phi4_fast. ")
    assert on_demand_note(DEPLOYMENT) == ""
