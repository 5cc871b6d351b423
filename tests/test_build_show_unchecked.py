"""What a plan says aloud: arguments that only vLLM will look at, and contexts that change short prompts."""

from build import show
from build.change import decide
from tests.deployments import deployment, model
from tests.hollow import checkpoint
from tests.hosts import facts
from tests.published import CONFIGS
from tests.test_build_show import WANTED, prepared


def test_arguments_that_nobody_checked_are_said_aloud() -> None:
    bold = deployment({"alpha": model(engine={"extra_args": {"seed": 3, "hf-overrides": {"a": 1}}}), "beta": model()})
    told = prepared(decide(WANTED, facts()), deployment=bold)
    assert show.unchecked(told) == ['alpha passes on to vLLM unchecked: seed 3, hf-overrides {"a": 1}']
    assert show.unchecked(prepared(decide(WANTED, facts()))) == []
    assert show.change_as_json(told)["unchecked"] == {"alpha": {"seed": 3, "hf-overrides": {"a": 1}}, "beta": {}}


def test_a_context_that_changes_short_prompts_is_said_aloud() -> None:
    phi = {"alpha": checkpoint(CONFIGS["phi4_fast"])}
    long, short = (
        deployment({"alpha": model(engine={"max_model_len": tokens, "kv_cache_memory_bytes": "2GiB"})}, phi)
        for tokens in (4097, 4096)
    )
    assert show.stretched(prepared(decide(WANTED, facts()), deployment=long)) == [
        "alpha answers short prompts otherwise than its publisher shows: above 4096 tokens of max_model_len "
        "longrope's long factors are taken for all of them"
    ]
    assert show.stretched(prepared(decide(WANTED, facts()), deployment=short)) == []
