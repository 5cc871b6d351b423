"""What `fab status`, `verify` and `doctor` say of the keys that clients must send."""

import pytest

from agent.protocol import GatewayState, KeysState
from build.check import Check
from build.deploy.client_keys import key_checks
from tests.support.hosts import empty_facts


def said(keys: KeysState | None) -> list[Check]:
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
    assert said(keys) == expected


def test_where_no_gateway_answers_nothing_is_said() -> None:
    assert list(key_checks(empty_facts())) == []
