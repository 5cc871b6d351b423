"""No login but the test's own."""

import os
from pathlib import Path

import pytest


def without_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away whatever this computer's own environment says of Google's credentials, or of where it stands."""
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "GCLOUD_", "GCE_", "CLOUDSDK_", "DEVSHELL_", "CLOUD_SHELL", "USER_PROJECT_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("build.cloud.login.PRODUCT_NAME", Path("/nowhere/product_name"))
