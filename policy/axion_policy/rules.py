"""Every rule of the pack."""

from axion_policy import access, data, machines
from axion_policy.resource import Rule, StackRule

RULES: tuple[Rule, ...] = (*machines.RULES, *access.RULES, *data.RULES)
STACK_RULES: tuple[StackRule, ...] = data.STACK_RULES
