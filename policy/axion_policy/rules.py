"""Every rule of the pack, in the order in which Pulumi lists them."""

from axion_policy import machines, access, data  # noqa: F401, I001 - each enters its own
from axion_policy.resource import RULES, STACK_RULES

__all__ = ["RULES", "STACK_RULES"]
