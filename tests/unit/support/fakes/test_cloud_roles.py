"""A deleted custom role can be brought back for a week, and its id is nobody's for a month after that."""

from pathlib import Path

import pytest

from tests.support.cloud_calls import done, get, post, refusal
from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack

ROLES = "/v1/projects/axion-test/roles"
STOP = f"{ROLES}/axion_dev_stop"
NEW = {"roleId": "axion_dev_stop", "role": {"title": "stop", "includedPermissions": ["compute.instances.stop"]}}
RESERVED = "You can't create a role_id (axion_dev_stop) which has been marked for deletion."


def created_and_deleted(cloud: Cloud) -> None:
    done(cloud, "POST", ROLES, NEW)
    done(cloud, "DELETE", STOP)


def test_a_deleted_role_is_there_for_a_week_and_can_be_undeleted(cloud: Cloud) -> None:
    created_and_deleted(cloud)
    assert get(cloud, STOP)["deleted"] is True
    assert refusal(post(cloud, ROLES, NEW)) == (400, "failedPrecondition", RESERVED)
    cloud.state.settings.days_passed = 6.9
    assert "deleted" not in done(cloud, "POST", f"{STOP}:undelete")
    assert refusal(post(cloud, ROLES, NEW))[:2] == (409, "alreadyExists")


@pytest.mark.parametrize("days", [7.1, 36.9])
def test_after_a_week_it_is_gone_and_its_id_is_nobodys(cloud: Cloud, days: float) -> None:
    created_and_deleted(cloud)
    cloud.state.settings.days_passed = days
    assert refusal(cloud.answer("GET", STOP, {}))[0] == 404
    assert refusal(post(cloud, f"{STOP}:undelete"))[0] == 404
    assert refusal(post(cloud, ROLES, NEW)) == (400, "failedPrecondition", RESERVED)
    assert done(cloud, "POST", ROLES, {**NEW, "roleId": "another"})["name"].endswith("/another")


def test_after_37_days_the_id_is_free(cloud: Cloud) -> None:
    created_and_deleted(cloud)
    cloud.state.settings.days_passed = 37.1
    done(cloud, "POST", ROLES, NEW)
    assert "deleted" not in get(cloud, STOP)


PROGRAM = """
from pulumi_gcp import projects

projects.IAMCustomRole("stop", role_id="axion_dev_stop", title="stop", permissions=["compute.instances.stop"])
"""


def test_the_provider_undeletes_within_the_week_and_is_refused_after_it(
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud
) -> None:
    stack = PulumiStack.create(tmp_path, pulumi_cli, cloud, PROGRAM)
    stack.up()
    stack.destroy()
    cloud.state.settings.days_passed = 6.0
    stack.up()
    methods = [one["method"].rpartition(".")[2] for one in cloud.requests if ".roles." in one["method"]]
    assert methods.count("create") == 1
    assert "undelete" in methods
    stack.destroy()
    cloud.state.settings.days_passed = 14.0
    refused = stack.up(check=False)
    assert refused.status != 0
    assert f"googleapi: Error 400: {RESERVED}, failedPrecondition" in refused.said
