"""What a gateway says of its certificate and of its clients' keys, judged."""

from collections.abc import Iterator

from agent.certificate import shown_time
from build.check import Check
from build.deploy.facts import Facts

DAY_S = 86400
SOON_DAYS = 14
"""Of the usual certificates, which last 90 days, two renewals have failed by then."""


def gateway_checks(facts: Facts, now_s: float) -> Iterator[Check]:
    """Judge both; nothing where no gateway answers."""
    yield from certificate_checks(facts, now_s)
    yield from key_checks(facts)


def certificate_checks(facts: Facts, now_s: float) -> Iterator[Check]:
    """Judge it; nothing where no TLS is spoken, or no gateway answers."""
    tls = facts.gateway.tls if facts.gateway else None
    if tls is None:
        return
    days = int((tls.ends_s - now_s) // DAY_S)
    until = f"until {shown_time(tls.ends_s)}"
    if tls.error is not None or days < 0:
        yield Check("certificate", "fail", f"{until}: {(tls.error or 'it expired').rstrip('.')}")
    elif days < SOON_DAYS:
        step = "renew it, and `systemctl reload gateway` there"
        yield Check("certificate", "warn", f"{until}, {days} days; {step}")
    else:
        yield Check("certificate", "pass", f"{until}, {days} days")


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
