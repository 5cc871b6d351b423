"""A stack for the doctor: one host on the small cloud, with what the test adds."""

from collections.abc import Mapping
from typing import Any

from build.cli.stacks import bill_of
from build.cloud.subject import Subject
from deployment.stack.catalog import load_catalog
from deployment.stack.settings import StackSettings


def subject(host: Mapping[str, Any] | None = None, **settings: Any) -> Subject:
    """Settings of the host, and of the stack by their names in its file."""
    config = {
        "gcp:project": "axion-test", "gcp:zone": "us-central1-a", "gcp:region": "us-central1",
        "axion:maxHourlyUsd": 2, "axion:hosts": {"main": {"machineType": "c4a-standard-32", **(host or {})}},
        **{f"axion:{key}": value for key, value in settings.items()},
    }  # fmt: skip
    read = StackSettings.model_validate(config)
    return Subject(stack="dev", settings=read, bill=bill_of(read), catalog=load_catalog())
