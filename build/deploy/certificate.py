"""The certificate that a gateway shows, judged by what the gateway says of it and by the time that is left."""

from collections.abc import Iterator

from agent.certificate import shown_time
from build.check import Check
from build.deploy.facts import Facts

DAY_S = 86400
SOON_DAYS = 14
"""Of the usual certificates, which last 90 days, two renewals have failed by then."""


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
