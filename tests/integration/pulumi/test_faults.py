"""Every create of the project's own program fails once with each fault: the real CLI on the small cloud.

tests/support/fault_table.py says how. Here is what is expected, literally: what the message was taken for. The next
`pulumi up` then creates it; where the answer got lost, `fab recover` imports it, and a grant is simply repeated.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes.cloud.server import Cloud
from tests.support.fault_table import COLUMNS, Column, fault_table, shown
from tests.support.faulted_stack import everything, held
from tests.support.gcloud_on_cloud import fab, need_gcloud

EXPECTED = """
resource                      quota     stock-out  permission  API off       request lost  answer lost
Network                       QUOTA     cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
ResourcePolicy                QUOTA     cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
Disk                          QUOTA     STOCKOUT   PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
Bucket                        TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
Secret                        TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
Account                       TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
IAMCustomRole                 TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
NotificationChannel           TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
Subnetwork                    QUOTA     cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
Router                        QUOTA     cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
Firewall                      QUOTA     cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
DiskResourcePolicyAttachment  TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
SecretVersion                 TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
SecretIamMember               TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, repeated
BucketIAMMember               TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, repeated
IAMMember                     TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, repeated
AlertPolicy                   TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
Budget                        TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
RouterNat                     TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
Instance                      QUOTA     STOCKOUT   PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, imported
InstanceIAMMember             TOO_FAST  cannot     PERMISSION  API_DISABLED  UNREACHABLE   UNREACHABLE, repeated
"""


@pytest.fixture(scope="module")
def columns(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Column]:
    need_gcloud()
    return fault_table(pulumi_cli, tmp_path_factory.mktemp("faults"))


@pytest.fixture
def printed(columns: list[Column], capsys: pytest.CaptureFixture[str]) -> Iterator[list[Column]]:
    """With the table in the output of the run, for people."""
    with capsys.disabled():
        sys.stdout.write(f"\n{shown(columns)}\n")
    yield columns


def test_each_fault_at_each_create_is_understood_and_the_stack_comes_right_again(printed: list[Column]) -> None:
    assert shown(printed).splitlines() == EXPECTED.strip().splitlines()


@pytest.mark.parametrize("name", COLUMNS)
def test_dependents_wait_and_cloud_and_state_agree_after_every_up(columns: list[Column], name: str) -> None:
    assert [each.wrong for each in columns if each.name == name] == [[]]


def test_a_plain_up_stops_at_a_stockout_and_explain_says_what_to_do(
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud
) -> None:
    stack = everything(tmp_path / "x", pulumi_cli, cloud)
    cloud.plant(method=r"compute\.instances\.insert", kind="stockout")
    failed = stack.up(check=False)
    assert failed.status != 0
    assert "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS" in failed.said
    assert (held(stack).orphans, held(stack).ghosts) == ([], [])
    log = tmp_path / "up.log"
    log.write_text(failed.said)
    said = fab("explain", "--log", str(log), project=stack.folder, environment=stack.environment)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("Instance host-main-instance: Google has no such machine free there, got ")
    assert said.stdout.endswith(
        ". Nothing is lost, and what was created stays. Run `fab up --stack prod`, which tries the zones in the host's "
        "`zones:`; or take the host and its data to another zone than us-central1-a: `fab move --stack prod --host "
        "main --zone ZONE` (`fab doctor --stack prod` tells who has the machine). Or try again later.\n"
    )
    stack.up()
    assert (held(stack).orphans, held(stack).ghosts) == ([], [])
    assert stack.plan() == {}


def test_explain_refuses_what_has_no_failure_in_it(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    log.write_text("Updating (prod):\n\nResources:\n    37 unchanged\n")
    said = fab("explain", "--log", str(log), project=tmp_path, environment={})
    assert (said.returncode, said.stdout) == (1, "")
    assert ": no failed resource, got 46 characters. Give all that `pulumi` printed" in said.stderr
