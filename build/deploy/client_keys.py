"""The keys that clients must send, judged by what the gateway says of their list."""

from collections.abc import Iterator

from build.check import Check
from build.deploy.facts import Facts


def key_checks(facts: Facts) -> Iterator[Check]:
    """Judge them; nothing where no key is asked for, or no gateway answers."""
    keys = facts.gateway.keys if facts.gateway else None
    if keys is None:
        return
    if keys.error is not None:
        first, *others = keys.error.splitlines()
        more = f" ({len(others)} more in its log)" if others else ""
        yield Check("keys", "fail", f"{keys.count} of an older list are in force. The newest: {first}{more}")
    elif keys.unserved:
        step = "correct their list, or serve them"
        yield Check(
            "keys", "warn", f"{keys.count}, which name models that nobody serves: {', '.join(keys.unserved)}; {step}"
        )
    else:
        yield Check("keys", "pass", f"{keys.count} in force")
    if keys.usage_error is not None:
        yield Check("usage", "fail", f"not written down at present: {keys.usage_error}")
