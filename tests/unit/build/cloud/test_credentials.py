"""Whatever Pulumi's provider and gcloud run with passes, in their order; what neither would take is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from build.check import Check
from build.cloud.credentials import Surroundings, credential_checks, find_credentials
from build.cloud.login import metadata_server
from tests.support.logins import without_logins

USER = {"type": "authorized_user", "client_id": "x", "refresh_token": "r"}
KEY = {"type": "service_account", "client_email": "ci@p.iam.gserviceaccount.com", "private_key": "planted"}
PERSON = "Google's APIs refuse a person's calls without one"


def around(
    home: Path, environment: dict[str, str] | None = None, config: dict[str, Any] | None = None, metadata: str = ""
) -> Surroundings:
    return Surroundings(environment=environment or {}, config=config or {}, home=home, metadata_server=metadata)


def left_by_gcloud(home: Path, content: object) -> Path:
    path = home / ".config" / "gcloud" / "application_default_credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


TOKEN = "(a token, good for an hour at most)"
PASSES: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "a token in the environment": ({"GOOGLE_OAUTH_ACCESS_TOKEN": "ya29.x"}, {}, f"GOOGLE_OAUTH_ACCESS_TOKEN {TOKEN}"),
    "a token in the stack": ({}, {"gcp:accessToken": "ya29.x"}, f"gcp:accessToken {TOKEN}"),
    "the stack before the environment": (
        {"GOOGLE_OAUTH_ACCESS_TOKEN": "ya29.x"},
        {"gcp:credentials": {"secure": "v1:"}},
        "gcp:credentials (a secret of the stack's)",
    ),
    "JSON in the environment": (
        {"GOOGLE_CREDENTIALS": json.dumps(KEY)},
        {},
        "GOOGLE_CREDENTIALS (service_account ci@p.iam.gserviceaccount.com)",
    ),
    "the older names": (
        {"GCLOUD_KEYFILE_JSON": json.dumps(KEY)},
        {},
        "GCLOUD_KEYFILE_JSON (service_account ci@p.iam.gserviceaccount.com)",
    ),
    "impersonation": (
        {"GOOGLE_OAUTH_ACCESS_TOKEN": "t", "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT": "d@p.iam.gserviceaccount.com"},
        {},
        f"GOOGLE_OAUTH_ACCESS_TOKEN {TOKEN}, acting as d@p.iam.gserviceaccount.com",
    ),
    "impersonation by the stack": (
        {"GOOGLE_OAUTH_ACCESS_TOKEN": "t"},
        {"gcp:impersonateServiceAccount": "d@p.iam.gserviceaccount.com"},
        f"GOOGLE_OAUTH_ACCESS_TOKEN {TOKEN}, acting as d@p.iam.gserviceaccount.com",
    ),
    "another identity provider's token": (
        {},
        {"gcp:externalCredentials": {"audience": "a"}},
        "gcp:externalCredentials",
    ),
}


@pytest.mark.parametrize("what", PASSES)
def test_what_the_provider_runs_with_passes(tmp_path: Path, what: str) -> None:
    environment, config, finding = PASSES[what]
    checks = credential_checks(around(tmp_path, environment, config), "p", needs_quota_project=True)
    assert checks == [Check("application login", "pass", finding)]


def test_a_file_passes_by_any_of_its_names_and_without_any_name_where_gcloud_leaves_it(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(KEY))
    for name in ("GOOGLE_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS"):
        found = find_credentials(around(tmp_path, {name: str(key)}))
        assert (found.source, found.problem) == (f"{name}: {key}", "")
    left = left_by_gcloud(tmp_path, {**USER, "quota_project_id": "p"})
    assert find_credentials(around(tmp_path)).source == str(left)


@pytest.mark.parametrize(
    ("environment", "whose"),
    [
        ({"CLOUD_SHELL": "true"}, "Cloud Shell's user"),
        ({"DEVSHELL_PROJECT_ID": "p"}, "Cloud Shell's user"),
        ({"GCE_METADATA_HOST": "127.0.0.1:1"}, "the machine's service account"),
        ({}, ""),
    ],
)
def test_the_metadata_server_of_cloud_shell_and_of_googles_machines_is_known(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], whose: str
) -> None:
    without_logins(monkeypatch)
    assert metadata_server(environment) == whose


def test_cloud_shell_passes_without_any_file_and_is_told_of_the_quota_project(tmp_path: Path) -> None:
    shell = {"CLOUDSDK_CONFIG": "/tmp/tmp.x", "GOOGLE_CLOUD_QUOTA_PROJECT": "p"}
    checks = credential_checks(around(tmp_path, shell, metadata="Cloud Shell's user"), "p", needs_quota_project=True)
    assert [(one.verdict, one.finding) for one in checks] == [("pass", "the metadata server (Cloud Shell's user)")]
    del shell["GOOGLE_CLOUD_QUOTA_PROJECT"]
    _, quota = credential_checks(around(tmp_path, shell, metadata="Cloud Shell's user"), "p", needs_quota_project=False)
    assert quota.finding == f"none: some of {PERSON}. Set GOOGLE_CLOUD_QUOTA_PROJECT=p"


@pytest.mark.parametrize(
    ("environment", "config", "needs", "verdict"),
    [
        ({}, {}, False, "warn"),
        ({}, {}, True, "fail"),
        ({"GOOGLE_CLOUD_QUOTA_PROJECT": "p"}, {}, True, None),
        ({}, {"gcp:userProjectOverride": "true", "gcp:billingProject": "p"}, True, None),
        ({"GOOGLE_IMPERSONATE_SERVICE_ACCOUNT": "d@p.iam.gserviceaccount.com"}, {}, True, None),
    ],
)
def test_a_persons_calls_are_counted_somewhere(
    tmp_path: Path, environment: dict[str, str], config: dict[str, Any], needs: bool, verdict: str | None
) -> None:
    left_by_gcloud(tmp_path, USER)
    _, *rest = credential_checks(around(tmp_path, environment, config), "p", needs_quota_project=needs)
    assert [one.verdict for one in rest] == ([verdict] if verdict else [])
    if rest:
        assert rest[0].finding.endswith("Run `gcloud auth application-default set-quota-project p`")


MISTAKES = {
    "not JSON": ("{half", "not JSON, got 5 characters. "),
    "another JSON": ({"type": "oauth"}, "no credentials of Google's, got oauth. "),
    "a list": ("[]", "no credentials of Google's, got no type. "),
    "workload identity whose token is gone": (
        {"type": "external_account", "credential_source": {"file": "/gone/token"}},
        "the token that it names is not there, got /gone/token. ",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_that_would_not_do_is_named(tmp_path: Path, mistake: str) -> None:
    content, problem = MISTAKES[mistake]
    path = left_by_gcloud(tmp_path, content)
    (check,) = credential_checks(around(tmp_path), "p", needs_quota_project=False)
    assert (check.verdict, check.finding[: len(f"{path}: {problem}")]) == ("fail", f"{path}: {problem}")


def test_a_missing_file_an_unreadable_key_and_nothing_at_all_are_three_things(tmp_path: Path) -> None:
    def finding(environment: dict[str, str]) -> str:
        (check,) = credential_checks(around(tmp_path, environment), "p", needs_quota_project=False)
        assert check.verdict == "fail"
        return check.finding

    assert finding({"GOOGLE_APPLICATION_CREDENTIALS": "/gone"}) == (
        "GOOGLE_APPLICATION_CREDENTIALS: no such file, got /gone. Correct it, or unset it"
    )
    mangled = json.dumps(KEY)[:-1]
    assert finding({"GOOGLE_CREDENTIALS": mangled}) == (
        f"GOOGLE_CREDENTIALS: neither a file nor JSON, got {len(mangled)} characters. Give a path, or the JSON itself"
    )
    assert "planted" not in finding({"GOOGLE_CREDENTIALS": mangled})
    assert finding({}) == ("Pulumi's provider finds no credentials. Run `gcloud auth application-default login`")


def test_what_gcloud_left_where_go_does_not_look_is_said(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    left = elsewhere / "application_default_credentials.json"
    left.write_text(json.dumps(USER))
    (check,) = credential_checks(around(tmp_path, {"CLOUDSDK_CONFIG": str(elsewhere)}), "p", needs_quota_project=False)
    assert check.verdict == "fail"
    assert check.finding.endswith(f"got {left} only. Set GOOGLE_APPLICATION_CREDENTIALS={left}")
