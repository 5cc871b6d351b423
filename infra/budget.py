"""A sum for the month, and Google's word when a part of it is spent. It warns; it stops nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import billing

from deployment.stack.settings import BudgetSettings
from infra.naming import Naming, owned_by

WARN_AT = (0.5, 0.9, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetArgs:
    """What a budget needs to know."""

    naming: Naming
    settings: BudgetSettings
    project: str
    channels: Sequence[pulumi.Output[str]]
    """Who is told besides the billing account's administrators."""


class Budget(pulumi.ComponentResource):
    """A monthly budget over what carries the stack's label."""

    def __init__(self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:Budget", name, None, opts)
        told = billing.BudgetAllUpdatesRuleArgs(monitoring_notification_channels=list(args.channels))
        # Without a currency Google takes the billing account's, which is the only one that it accepts.
        amount = billing.BudgetAmountSpecifiedAmountArgs(units=str(args.settings.monthly_amount))
        budget = billing.Budget(
            f"{name}-monthly",
            billing_account=args.settings.billing_account,
            display_name=args.naming.name("monthly"),
            budget_filter=billing.BudgetBudgetFilterArgs(
                projects=[f"projects/{args.project}"], labels={"axion-stack": args.naming.stack}
            ),
            amount=billing.BudgetAmountArgs(specified_amount=amount),
            threshold_rules=[billing.BudgetThresholdRuleArgs(threshold_percent=part) for part in WARN_AT],
            all_updates_rule=told if args.channels else None,
            # Google answers with the project's number where it was given its id, and would seem changed for ever.
            opts=owned_by(self, ignore_changes=["budgetFilter.projects"]),
        )
        self.register_outputs({"name": budget.name})
