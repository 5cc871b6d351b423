"""What `fab status`, `verify` and `doctor` say of the certificate that clients are shown, and of their keys."""

import pytest

from agent.protocol import GatewayState, KeysState, TlsState
from build.check import Check, Verdict
from build.deploy.gateway_checks import certificate_checks, key_checks
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


def said_of_keys(keys: KeysState | None) -> list[Check]:
    state = GatewayState(unit_digest="u", config_digest="c", models={}, keys=keys)
    return list(key_checks(empty_facts(gateway=state)))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (None, []),
        (KeysState(2), [Check("keys", "pass", "2 in force")]),
        (
            KeysState(2, error="line 3: models: no list of names. Separate.\nline 4: empty."),
            [Check("keys", "fail", "2 of an older list are in force. The newest: line 3: models: no list of names. "
                   "Separate. (1 more in its log)")],
        ),
        (
            KeysState(1, unserved=("phi4_fsat",)),
            [Check("keys", "warn", "1, which name models that nobody serves: phi4_fsat; correct their list, or serve "
                   "them")],
        ),
        (
            KeysState(1, usage_error="OSError: No space left on device"),
            [Check("keys", "pass", "1 in force"),
             Check("usage", "fail", "not written down at present: OSError: No space left on device")],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_of_keys_is_told(keys: KeysState | None, expected: list[Check]) -> None:
    assert said_of_keys(keys) == expected


def test_where_no_gateway_answers_nothing_is_said() -> None:
    assert list(key_checks(empty_facts())) == []
