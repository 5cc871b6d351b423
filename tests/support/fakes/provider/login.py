"""As whom the provider calls, found as the real one finds it: the stack's configuration first, then the environment.

provider.go and config.go of terraform-provider-google, which Pulumi's wraps. Of credentials only tokens are heeded: the
small cloud has no place to exchange keys at.
"""

import os
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
CONFIGURABLE = frozenset(
    {
        *("project", "region", "zone", "defaultLabels", "accessToken", "credentials", "disableGlobalProjectWarning"),
        *("userProjectOverride", "billingProject", "impersonateServiceAccount"),
    }
)
"""What the stand-in heeds of the provider's configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who calls, as whom, and on which project the calls count."""

    token: str = ""
    impersonated: str = ""
    quota_project: str = ""

    @classmethod
    def of(cls, given: Json) -> "Login":
        """From the provider's configuration."""
        override = given.get("userProjectOverride") or os.environ.get("USER_PROJECT_OVERRIDE", "")
        counted_on = given.get("billingProject") or os.environ.get("GOOGLE_BILLING_PROJECT") or given.get("project", "")
        return cls(
            token=str(given.get("accessToken") or os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN", "")),
            impersonated=str(
                given.get("impersonateServiceAccount") or os.environ.get("GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", "")
            ),
            quota_project=str(counted_on) if str(override).lower() in ("true", "1", "t") else "",
        )

    def headers(self) -> dict[str, str]:
        """What each call carries."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {**headers, "X-Goog-User-Project": self.quota_project} if self.quota_project else headers
