"""The real gcloud, and fab with it, on the small cloud: nothing of this computer's own login or configuration."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack

REPOSITORY = Path(__file__).parents[2]
FAB = str(Path(sys.executable).with_name("fab"))
ROOTED = (
    "IAM",
    "CLOUDRESOURCEMANAGER",
    "SECRETMANAGER",
    "MONITORING",
    "BILLINGBUDGETS",
    "SERVICEUSAGE",
    "IAMCREDENTIALS",
)


def need_gcloud() -> None:
    """Leave the test out, loudly, where there is no gcloud."""
    if shutil.which("gcloud") is None:
        pytest.skip(
            "gcloud: not found, so nothing was asked of it. Install it: https://cloud.google.com/sdk/docs/install"
        )


def gcloud_environment(cloud: Cloud, folder: Path) -> dict[str, str]:
    """gcloud's settings for a cloud of our own."""
    overrides = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}": f"{cloud.url}/" for api in ROOTED}
    return {
        **overrides,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{cloud.url}/compute/v1/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{cloud.url}/storage/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_PROJECT": cloud.state.settings.project,
        "CLOUDSDK_CONFIG": str(folder / "gcloud"),
    }


BUDGETS = """#!/bin/sh
# gcloud has no property that sends this one API elsewhere.
case "$*" in
"billing budgets list "*) exec {python} -c '
import json, re, sys, urllib.request
account = re.search("--billing-account=([^ ]+)", " ".join(sys.argv))[1]
with urllib.request.urlopen("{url}/v1/billingAccounts/" + account + "/budgets") as answer:
    print(json.dumps(json.load(answer).get("budgets", [])))
' "$@" ;;
esac
exec {gcloud} "$@"
"""


def recovery_environment(stack: PulumiStack) -> dict[str, str]:
    """What `fab recover` needs: the stack's own environment, and gcloud on its cloud, budgets included."""
    folder = stack.folder.parent / "gcloud-on-cloud"
    folder.mkdir(exist_ok=True)
    script = folder / "gcloud"
    script.write_text(BUDGETS.format(python=sys.executable, url=stack.cloud.url, gcloud=shutil.which("gcloud")))
    script.chmod(0o755)
    environment = {**stack.environment, **gcloud_environment(stack.cloud, stack.folder.parent)}
    return {**environment, "PATH": os.pathsep.join((str(folder), environment["PATH"]))}


def fab(
    *words: str, project: Path, environment: Mapping[str, str], timeout_s: float = 180.0
) -> "subprocess.CompletedProcess[str]":
    """Run one task on the stacks of a folder."""
    return subprocess.run(
        [FAB, *words],
        cwd=REPOSITORY,
        env={**os.environ, **environment, "AXION_PROJECT": str(project)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
