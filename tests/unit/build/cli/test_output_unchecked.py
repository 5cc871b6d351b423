"""What a plan says aloud: arguments that only vLLM will look at, and contexts that change short prompts."""

from build.cli import output
from build.deploy.diff import decide
from tests.support.deployments import deployment, model
from tests.support.hollow import checkpoint
from tests.support.hosts import facts
from tests.support.published import CONFIGS
from tests.unit.build.cli.test_output import WANTED, prepared


def test_arguments_that_nobody_checked_are_said_aloud() -> None:
    bold = deployment({"alpha": model(engine={"extra_args": {"seed": 3, "hf-overrides": {"a": 1}}}), "beta": model()})
    told = prepared(decide(WANTED, facts()), deployment=bold)
    assert output.unchecked(told) == ['alpha passes on to vLLM unchecked: seed 3, hf-overrides {"a": 1}']
    assert output.unchecked(prepared(decide(WANTED, facts()))) == []
    assert output.planned_change(told).unchecked == {"alpha": {"seed": 3, "hf-overrides": {"a": 1}}, "beta": {}}


def test_a_context_that_changes_short_prompts_is_said_aloud() -> None:
    phi = {"alpha": checkpoint(CONFIGS["phi4_fast"])}
    long, short = (
        deployment({"alpha": model(engine={"max_model_len": tokens, "kv_cache_memory_bytes": "2GiB"})}, phi)
        for tokens in (4097, 4096)
    )
    assert output.stretched(prepared(decide(WANTED, facts()), deployment=long)) == [
        "alpha answers short prompts otherwise than its publisher shows: above 4096 tokens of max_model_len "
        "longrope's long factors are taken for all of them"
    ]
    assert output.stretched(prepared(decide(WANTED, facts()), deployment=short)) == []
