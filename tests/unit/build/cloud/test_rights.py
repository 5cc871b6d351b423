"""The doctor asks Google what the two accounts may do, and the table of permissions is enough for a whole life."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from build.cloud.gcloud import Gcloud
from build.cloud.login import login_checks
from build.cloud.permissions import FAB, PULUMI, permissions_of
from build.cloud.permissions_page import page
from build.cloud.rights import rights_checks
from build.remote.executor import LocalExecutor
from deployment.refusals.diagnostics import failures
from deployment.stack.file import read_file
from tests.support.cloud_calls import done
from tests.support.fakes.cloud.server import Cloud
from tests.support.faulted_stack import everything
from tests.support.gcloud_on_cloud import gcloud_environment, need_gcloud
from tests.support.logins import without_logins
from tests.support.pulumi_stack import REPOSITORY
from tests.support.standing_stack import host_settings
from tests.support.subjects import subject

ANN = "ann@example.com"
BUDGET = {f"billing.budgets.{verb}" for verb in ("create", "get", "list", "update", "delete")}
DEPLOYER = "deployer@axion-test.iam.gserviceaccount.com"


@pytest.fixture
def gcloud(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gcloud:
    """Ann's gcloud, which has a token of hers and no more."""
    need_gcloud()
    without_logins(monkeypatch)
    for name, value in gcloud_environment(cloud, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CLOUDSDK_AUTH_DISABLE_CREDENTIALS")
    monkeypatch.setenv("HOME", str(tmp_path))
    token = tmp_path / "token"
    token.write_text("anns-token\n")
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", str(token))
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "anns-token")
    cloud.state.settings.tokens["anns-token"] = ANN
    return Gcloud(LocalExecutor(), "axion-test")


def found(gcloud: Gcloud) -> dict[str, tuple[str, str]]:
    return {one.name: (one.verdict, one.finding) for one in rights_checks(subject(), gcloud)}


def test_what_the_accounts_lack_is_told_with_the_roles_that_give_it(cloud: Cloud, gcloud: Gcloud) -> None:
    everything = {*permissions_of(PULUMI, subject().settings), *permissions_of(FAB, subject().settings)}
    cloud.state.settings.holds[ANN] = set(everything)
    assert {verdict for verdict, _ in found(gcloud).values()} == {"pass"}
    cloud.state.settings.holds[ANN] -= {"iam.roles.create", "iam.roles.undelete", "compute.instances.osAdminLogin"}
    assert found(gcloud) == {
        "permissions of gcloud's account": (
            "warn",
            f"1 of {len(permissions_of(FAB, subject().settings))} missing: compute.instances.osAdminLogin. Have an "
            "owner of axion-test grant roles/compute.osAdminLogin (see docs/permissions.md), unless they are granted "
            "on the very thing",
        ),
        "permissions of Pulumi's": (
            "fail",
            f"2 of {len(permissions_of(PULUMI, subject().settings))} missing: iam.roles.create, iam.roles.undelete. "
            "Have an owner of axion-test grant roles/iam.roleAdmin (see docs/permissions.md)",
        ),
    }


def test_who_acts_as_another_is_asked_about_as_that_other(
    cloud: Cloud, gcloud: Gcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(cloud, "POST", "/v1/projects/axion-test/serviceAccounts", {"accountId": "deployer"})
    cloud.state.settings.services.add("iamcredentials.googleapis.com")
    cloud.state.settings.holds = {ANN: set(), DEPLOYER: set(permissions_of(FAB, subject().settings))}
    monkeypatch.setenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", DEPLOYER)
    verdict, finding = found(gcloud)["permissions of gcloud's account"]
    assert verdict == "warn"
    assert "iam.serviceAccounts.getAccessToken" in finding
    policy = {"bindings": [{"role": "roles/iam.serviceAccountTokenCreator", "members": [f"user:{ANN}"]}]}
    cloud.state.policies[f"projects/axion-test/serviceAccounts/{DEPLOYER}"] = {"version": 1, **policy}
    assert found(gcloud)["permissions of gcloud's account"][0] == "pass"
    monkeypatch.delenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT")
    assert found(gcloud)["permissions of gcloud's account"][0] == "fail"


def test_real_gcloud_tells_by_what_it_is_logged_in(gcloud: Gcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def login() -> tuple[str, str]:
        first = login_checks(gcloud, subject().settings, {})[0]
        return first.verdict, first.finding

    token = os.environ["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"]
    assert login() == ("pass", f"the token in {token}")
    monkeypatch.setenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", DEPLOYER)
    assert login() == ("pass", f"the token in {token}, acting as {DEPLOYER}")
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "/gone")
    verdict, finding = login()
    assert (verdict, finding) == ("fail", "auth/access_token_file: no such file, got /gone. Correct it, or unset it")
    monkeypatch.delenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE")
    assert login() == ("fail", "no active account. Run `gcloud auth login`")


def test_a_cloud_without_logins_is_not_asked(gcloud: Gcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
    assert rights_checks(subject(), gcloud) == []


def test_credentials_that_only_the_provider_reads_are_said_to_be_so(
    gcloud: Gcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN")
    monkeypatch.setenv("GOOGLE_CREDENTIALS", json.dumps({"type": "service_account", "client_email": "x@y"}))
    assert found(gcloud)["permissions of Pulumi's"] == (
        "warn",
        "not asked: GOOGLE_CREDENTIALS: gcloud cannot act with it: no file. Ask with the same in a file.",
    )


def test_gcloud_has_no_command_for_it() -> None:
    need_gcloud()
    words = ("gcloud", "projects", "test-iam-permissions", "axion-test")
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert "Invalid choice" in done.stderr


def test_the_document_is_the_table() -> None:
    assert (REPOSITORY / "docs" / "permissions.md").read_text() == page()
    assert "| the bucket | `roles/storage.admin` | `axion:bucket` | `storage.buckets.{create,get," in page()


def test_every_permission_has_googles_form_and_no_role_is_a_broad_one() -> None:
    needs = (*PULUMI, *FAB)
    assert all(re.fullmatch(r"[a-z]+(\.[a-zA-Z]+){2}", one) for need in needs for one in need.permissions)
    assert not {need.role for need in needs} & {"roles/owner", "roles/editor"}


def test_the_table_is_enough_for_a_whole_life_and_nothing_less_is(
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud
) -> None:
    stack = everything(tmp_path, pulumi_cli, cloud)
    settings = read_file("prod", stack.folder).settings
    assert settings is not None
    held = set(permissions_of(PULUMI, settings)) | BUDGET
    cloud.state.settings.holds[""] = held - {"iam.roles.create"}
    refused = stack.up("--continue-on-error", check=False)
    assert "Required 'iam.roles.create' permission for 'projects/axion-test'" in refused.said
    assert [
        one for one in failures(refused.said) if "permission" in one.text and "iam.roles.create" not in one.text
    ] == []
    cloud.state.settings.holds[""] = held
    stack.up()
    host_settings(stack, dataDiskGib=300, machineType="c4a-standard-48", bootDiskGib=60)
    stack.up()
    stack.refresh()
    stack.destroy()
    assert [path for path in cloud.state.resources if "/roles/" not in path] == []
