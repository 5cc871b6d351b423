"""What a plan says of arguments that only vLLM will look at."""

from build import show
from build.change import decide
from tests.deployments import deployment, model
from tests.hosts import facts
from tests.test_build_show import WANTED, prepared


def test_arguments_that_nobody_checked_are_said_aloud() -> None:
    bold = deployment({"alpha": model(engine={"extra_args": {"seed": 3, "hf-overrides": {"a": 1}}}), "beta": model()})
    told = prepared(decide(WANTED, facts()), deployment=bold)
    assert show.unchecked(told) == ['alpha passes on to vLLM unchecked: seed 3, hf-overrides {"a": 1}']
    assert show.unchecked(prepared(decide(WANTED, facts()))) == []
    assert show.change_as_json(told)["unchecked"] == {"alpha": {"seed": 3, "hf-overrides": {"a": 1}}, "beta": {}}
