"""Who asks: gcloud's account, and the credentials of Pulumi's provider. They are not the same, and both are needed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build.check import Check, Verdict
from build.cloud.credentials import CLOUD_SHELL, Surroundings, credential_checks
from build.cloud.gcloud import Gcloud
from deployment.stack.settings import StackSettings

# What Google's own Go library reads to know where it is.
PRODUCT_NAME = Path("/sys/class/dmi/id/product_name")
TRUE = ("1", "true", "yes", "on")


def login_checks(gcloud: Gcloud, settings: StackSettings, config: Mapping[str, Any]) -> list[Check]:
    """Both logins; `config` is the stack's file as it stands."""
    if are_disabled(os.environ):
        return [_check("warn", "credentials are disabled in gcloud's settings; nothing to check")]
    needs_quota_project = settings.budget is not None
    found = credential_checks(surroundings(config), settings.project, needs_quota_project=needs_quota_project)
    return [_gcloud(gcloud), *found]


def are_disabled(environment: Mapping[str, str]) -> bool:
    """Whether gcloud is told to send no credentials, as on a cloud of one's own."""
    return environment.get("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "").lower() in TRUE


def surroundings(config: Mapping[str, Any]) -> Surroundings:
    """Where this process stands."""
    return Surroundings(
        environment=dict(os.environ), config=config, home=Path.home(), metadata_server=metadata_server(os.environ)
    )


def _gcloud(gcloud: Gcloud) -> Check:
    """gcloud's settings say it, wherever they come from: its files, CLOUDSDK_ variables."""
    told = gcloud.ask("read gcloud's settings", "config", "list", is_scoped=False)
    auth = (told.get("auth") or {}) if isinstance(told, dict) else {}
    acting = f", acting as {auth['impersonate_service_account']}" if auth.get("impersonate_service_account") else ""
    if named := auth.get("access_token_file"):
        if Path(str(named)).is_file():
            return _check("pass", f"the token in {named}{acting}")
        return _check("fail", f"auth/access_token_file: no such file, got {named}. Correct it, or unset it")
    if named := auth.get("credential_file_override"):
        return _check("pass", f"the credentials in {named}{acting}")
    accounts = gcloud.ask("ask who is logged in", "auth", "list", "--filter=status:ACTIVE", is_scoped=False)
    if accounts:
        return _check("pass", f"{accounts[0].get('account')}{acting}")
    return _check("fail", "no active account. Run `gcloud auth login`")


def metadata_server(environment: Mapping[str, str]) -> str:
    """Whose credentials the machine itself gives; nothing where it is not Google's."""
    if environment.get("CLOUD_SHELL") == "true" or environment.get("DEVSHELL_PROJECT_ID"):
        return CLOUD_SHELL
    if environment.get("GCE_METADATA_HOST"):
        return "the machine's service account"
    try:
        is_google = PRODUCT_NAME.read_text(encoding="utf-8").startswith("Google")
    except OSError:
        is_google = False
    return "the machine's service account" if is_google else ""


def _check(verdict: Verdict, finding: str) -> Check:
    return Check("login", verdict, finding)
