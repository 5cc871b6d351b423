"""With which credentials Google's provider for Pulumi would run: found in the order in which it looks, and judged.

The order is the provider's own (provider.go and config.go of terraform-provider-google, which Pulumi's wraps): the
stack's configuration before the environment, a token before credentials, then Application Default Credentials. Go looks
for those in $HOME/.config/gcloud and does not heed CLOUDSDK_CONFIG, which gcloud does.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from build.check import Check, Verdict
from build.remote.target import expanded
from deployment.errors import why

NAME = "application login"
KEYS = ("GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GCLOUD_KEYFILE_JSON")
TYPES = frozenset(
    {
        *("authorized_user", "service_account", "external_account", "external_account_authorized_user"),
        *("impersonated_service_account", "gdch_service_account"),
    }
)
LOGIN = "Run `gcloud auth application-default login`"
DEFAULT_FILE = "application_default_credentials.json"
CLOUD_SHELL = "Cloud Shell's user"
USER_TYPES = ("authorized_user", "external_account_authorized_user", CLOUD_SHELL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the provider would look at."""

    environment: Mapping[str, str]
    config: Mapping[str, Any]
    """The stack's file as it stands, with its `gcp:` keys; a secret is `{"secure": ...}`."""
    home: Path
    metadata_server: str = ""
    """Whose credentials a metadata server gives here, as on Google's own machines: nothing where there is none."""

    def configured(self, name: str) -> Any:
        """A value of the stack's file."""
        return self.config.get(f"gcp:{name}")

    def first(self, *names: str) -> tuple[str, str] | None:
        """The first variable of the environment that says something."""
        return next(((name, self.environment[name]) for name in names if self.environment.get(name)), None)

    @property
    def impersonated(self) -> str | bool:
        """As which service account the provider acts; True for one that the stack's file holds as a secret."""
        given = self.configured("impersonateServiceAccount")
        given = given or self.environment.get("GOOGLE_IMPERSONATE_SERVICE_ACCOUNT")
        return given if isinstance(given, str) else bool(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What was found, or why it would not do."""

    source: str
    kind: str = ""
    problem: str = ""
    quota_project: str = ""
    file: Path | None = None
    token: str = field(default="", repr=False)
    is_hidden: bool = False
    """Whether it stands where only the provider reads it."""

    @property
    def is_user(self) -> bool:
        """Whether a person's own: Google then asks for a project to count the calls on."""
        return self.kind in USER_TYPES


def credential_checks(around: Surroundings, project: str, *, needs_quota_project: bool) -> list[Check]:
    """What Pulumi's provider would use, for whom, and whether a person's calls would be counted anywhere."""
    found = find_credentials(around)
    if found.problem:
        return [Check(NAME, "fail", f"{found.source}: {found.problem}" if found.source else found.problem)]
    whom = around.impersonated
    acting = f", acting as {whom if isinstance(whom, str) else 'a service account'}" if whom else ""
    checks = [Check(NAME, "pass", f"{found.source}{f' ({found.kind})' if found.kind else ''}{acting}")]
    if found.is_user and not whom and not _has_quota_project(around, found):
        run = f"Run `gcloud auth application-default set-quota-project {project}`"
        run = f"Set GOOGLE_CLOUD_QUOTA_PROJECT={project}" if found.kind == CLOUD_SHELL else run
        which = "the budget's API refuses" if needs_quota_project else "some of Google's APIs refuse"
        verdict: Verdict = "fail" if needs_quota_project else "warn"
        checks.append(Check("quota project", verdict, f"none: {which} a person's calls without one. {run}"))
    return checks


def _has_quota_project(around: Surroundings, found: Credentials) -> bool:
    """GOOGLE_CLOUD_QUOTA_PROJECT is Google's libraries'; the override counts on gcp:billingProject or gcp:project."""
    override = around.configured("userProjectOverride") or around.environment.get("USER_PROJECT_OVERRIDE")
    is_overridden = str(override).lower() in ("true", "1", "t")
    return bool(found.quota_project or around.environment.get("GOOGLE_CLOUD_QUOTA_PROJECT")) or is_overridden


def find_credentials(around: Surroundings) -> Credentials:
    """Look where the provider looks, in its order."""
    if around.configured("externalCredentials"):
        return Credentials(source="gcp:externalCredentials", is_hidden=True)
    if (given := around.configured("accessToken")) is not None:
        return _token("gcp:accessToken", given)
    if (given := around.configured("credentials")) is not None:
        if isinstance(given, str):
            return _path_or_contents("gcp:credentials", given)
        return Credentials(source="gcp:credentials", kind="a secret of the stack's", is_hidden=True)
    if (named := around.first("GOOGLE_OAUTH_ACCESS_TOKEN")) is not None:
        return _token(*named)
    if (named := around.first(*KEYS)) is not None:
        return _path_or_contents(*named)
    return _default(around)


def _token(source: str, given: object) -> Credentials:
    kind = "a token, good for an hour at most"
    if not isinstance(given, str):
        return Credentials(source=source, kind=kind, is_hidden=True)
    path = _existing(given)
    return Credentials(source=source, kind=kind, token=path.read_text(encoding="utf-8").strip() if path else given)


def _default(around: Surroundings) -> Credentials:
    """Application Default Credentials: a file that is named, one that gcloud left, or the machine's own."""
    if named := around.environment.get("GOOGLE_APPLICATION_CREDENTIALS"):
        path = expanded(named)
        if not path.is_file():
            return Credentials(
                source="GOOGLE_APPLICATION_CREDENTIALS", problem=f"no such file, got {named}. Correct it, or unset it"
            )
        return _read("GOOGLE_APPLICATION_CREDENTIALS", path)
    left = around.home / ".config" / "gcloud" / DEFAULT_FILE
    if left.is_file():
        return _read("", left)
    if around.metadata_server:
        return Credentials(source="the metadata server", kind=around.metadata_server)
    elsewhere = Path(around.environment.get("CLOUDSDK_CONFIG") or left.parent) / DEFAULT_FILE
    if elsewhere.is_file():
        return Credentials(
            source="",
            problem=f"Pulumi's provider looks in {left.parent} and not in CLOUDSDK_CONFIG, got {elsewhere} only. "
            f"Set GOOGLE_APPLICATION_CREDENTIALS={elsewhere}",
        )
    return Credentials(source="", problem=f"Pulumi's provider finds no credentials. {LOGIN}")


def _path_or_contents(source: str, given: str) -> Credentials:
    """A path where there is a file of that name, else the JSON itself: which may be a key, and is never shown."""
    if (path := _existing(given)) is not None:
        return _read(source, path)
    otherwise = f"neither a file nor JSON, got {len(given)} characters. Give a path, or the JSON itself"
    return replace(_parsed(source, given, otherwise), is_hidden=True)


def _existing(given: str) -> Path | None:
    """The file of that name, if there is one."""
    try:
        path = expanded(given)
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long for a path, as JSON and tokens may be
        return None


def _read(source: str, path: Path) -> Credentials:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Credentials(source=source, problem=f"cannot be read: {path}: {why(error)}. Correct it")
    otherwise = f"not JSON, got {len(text)} characters. {LOGIN}, or name a credentials file"
    return replace(_parsed(f"{source}: {path}" if source else str(path), text, otherwise), file=path)


def _parsed(source: str, text: str, otherwise: str) -> Credentials:
    try:
        data = json.loads(text)
    except ValueError:
        return Credentials(source=source, problem=otherwise)
    kind = str(data.get("type") or "") if isinstance(data, dict) else ""
    if kind not in TYPES:
        got = kind or "no type"
        return Credentials(source=source, problem=f"no credentials of Google's, got {got}. {LOGIN}")
    named = str(data.get("client_email") or data.get("service_account_impersonation_url", "").rpartition("/")[2])
    if kind == "external_account" and (problem := _missing_subject(data)):
        return Credentials(source=source, problem=problem)
    shown = f"{kind} {named.removesuffix(':generateAccessToken')}".strip()
    return Credentials(
        source=source,
        kind=kind if kind in USER_TYPES else shown,
        quota_project=str(data.get("quota_project_id") or ""),
    )


def _missing_subject(data: Mapping[str, Any]) -> str:
    """Workload identity: the file with the other cloud's token, if it is in one."""
    subject = (data.get("credential_source") or {}).get("file")
    if subject and not Path(subject).is_file():
        return f"the token that it names is not there, got {subject}. Log in again where this ran"
    return ""
