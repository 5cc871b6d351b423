"""The project that calls count on reaches the cloud from the stack's file, through the real CLI."""

from pathlib import Path

import pytest

from tests.support.fakes.cloud.server import Cloud, Handler
from tests.support.pulumi_stack import PulumiStack

BUDGET = """
import pulumi_gcp as gcp
amount = gcp.billing.BudgetAmountArgs(specified_amount=gcp.billing.BudgetAmountSpecifiedAmountArgs(units="900"))
gcp.billing.Budget("b", billing_account="012345-6789AB-CDEF01", display_name="axion-dev-monthly", amount=amount)
"""


@pytest.mark.parametrize(
    ("settings", "counts_on"),
    [
        ({}, None),
        ({"gcp:billingProject": "pays"}, None),  # without the override it is not sent
        ({"gcp:userProjectOverride": "true", "gcp:billingProject": "pays"}, "pays"),
    ],
)
def test_the_quota_project_of_the_stacks_file_comes_with_the_call(
    settings: dict[str, str], counts_on: str | None,
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    came: list[str | None] = []
    serve = Handler._serve

    def noted(handler: Handler) -> None:
        if "/budgets" in handler.path:
            came.append(handler.headers.get("X-Goog-User-Project"))
        serve(handler)

    monkeypatch.setattr(Handler, "do_POST", noted)
    stack = PulumiStack.create(tmp_path, pulumi_cli, cloud, BUDGET)
    for key, value in settings.items():
        stack.config(key, value)
    stack.up()
    assert came == [counts_on]
