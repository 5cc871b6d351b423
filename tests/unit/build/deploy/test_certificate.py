"""What `fab status`, `verify` and `doctor` say of the certificate that clients are shown."""

import pytest

from agent.protocol import GatewayState, TlsState
from build.check import Check, Verdict
from build.deploy.certificate import certificate_checks
from tests.support.hosts import empty_facts

ENDS_S = 1_800_000_000.0  # 2027-01-15 08:00 UTC
DAY_S = 86_400


def said(days: float, error: str | None = None) -> list[Check]:
    """So many days before it expires."""
    state = GatewayState(unit_digest="u", config_digest="c", models={}, tls=TlsState(ENDS_S, error))
    return list(certificate_checks(empty_facts(gateway=state), ENDS_S - days * DAY_S))


@pytest.mark.parametrize(
    ("days", "error", "expected"),
    [
        (60, None, ("pass", "until 2027-01-15 08:00 UTC, 60 days")),
        (14, None, ("pass", "until 2027-01-15 08:00 UTC, 14 days")),
        (13.9, None, ("warn", "until 2027-01-15 08:00 UTC, 13 days; renew it, and `systemctl reload gateway` there")),
        (-0.1, None, ("fail", "until 2027-01-15 08:00 UTC: it expired")),
        (60, "a.key: not the key of a.pem. Give both.",
         ("fail", "until 2027-01-15 08:00 UTC: a.key: not the key of a.pem. Give both")),
    ],
)  # fmt: skip
def test_the_time_that_is_left_is_judged(days: float, error: str | None, expected: tuple[Verdict, str]) -> None:
    assert said(days, error) == [Check("certificate", *expected)]


def test_where_no_tls_is_spoken_nothing_is_said() -> None:
    assert list(certificate_checks(empty_facts(), 0)) == []
    plain = GatewayState(unit_digest="u", config_digest="c", models={})
    assert list(certificate_checks(empty_facts(gateway=plain), 0)) == []
