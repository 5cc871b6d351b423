"""Take Pulumi's configuration, check all of it, and stop before the first resource when something is wrong."""

import sys
from pathlib import Path

import pulumi
from pulumi.runtime.config import CONFIG

from deployment.errors import ConfigError
from deployment.stack.file import SECRETS, read_pulumi
from deployment.stack.guardrails import CheckedStack, check
from deployment.stack.organisation import brought_along

# Pulumi's own exit code for "a message that the user can act on was shown": no traceback, no second error.
SHOWN_TO_USER = 32


def checked_stack() -> CheckedStack:
    """Read and check the stack's configuration; problems end the program, each on a line of its own.

    A preview also says what the stack expects to find, as nothing else would show it.
    """
    values = {key: str(value) for key, value in CONFIG.get().items()}
    secret_keys = frozenset(key for key in SECRETS if pulumi.runtime.is_config_secret(key))
    try:
        checked = check(read_pulumi(pulumi.get_stack(), values, secret_keys, Path()), Path())
    except ConfigError as error:
        pulumi.log.error("\n".join(error.problems))
        sys.exit(SHOWN_TO_USER)
    for notice in checked.notices:
        pulumi.log.warn(notice)
    if pulumi.runtime.is_dry_run():
        for sentence in brought_along(checked.settings, checked.stack, checked.gateway_ports):
            pulumi.log.info(sentence)
    return checked


def secret_values(checked: CheckedStack) -> dict[str, pulumi.Output[str] | None]:
    """Return every secret that the stack has, by short name. Keys may follow later; without a token there is none."""
    config = pulumi.Config("axion")
    keys = config.get_secret("gatewayApiKeys") if checked.settings.gateway_api_keys else None
    token = {"hub-token": config.get_secret("hubToken")} if checked.settings.hub_token else {}
    return {"gateway-api-keys": keys, **token}
