"""What gcloud tells of an instance and of us, judged without asking anybody."""

from datetime import UTC, datetime

from build.cloud.instance import is_fresh, login_name, state_problem
from deployment.stack.inventory import GoogleHost
from tests.support.google_host import RUNNING
from tests.support.ssh_inventory import INSTANCE, host_entry


def test_the_primary_login_name_is_ours() -> None:
    accounts = [{"username": "a_b"}, {"username": "c_d", "primary": True}]
    assert login_name({"posixAccounts": accounts}) == "c_d"
    assert login_name({"posixAccounts": accounts[:1]}) == "a_b"
    assert login_name({"posixAccounts": [{"uid": "1"}]}) is None
    assert login_name(None) is None


def test_only_a_young_start_is_fresh() -> None:
    now = datetime(2026, 1, 31, 20, 2, tzinfo=UTC)
    assert is_fresh(RUNNING, now)
    assert not is_fresh(RUNNING, datetime(2026, 1, 31, 20, 4, tzinfo=UTC))
    assert not is_fresh({}, now)


def test_a_state_of_no_name_is_said() -> None:
    host = GoogleHost.model_validate(host_entry())
    assert state_problem(host, "p", {"id": INSTANCE}) == (
        "axion-dev-main: does not run: UNKNOWN. Wait a minute, then run the same command again."
    )
    assert [state_problem(host, "p", {**RUNNING, "status": each}) for each in ("STAGING", "RUNNING")] == [None, None]
