"""A host's settings outside of a stack's file, as another program gives them to the plug-in: checked all the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from deployment.document import Document
from deployment.errors import ConfigError
from deployment.problems import describe, shown
from deployment.stack.catalog import Catalog, Shape, load_catalog
from deployment.stack.disks import disk_problems, disk_uses
from deployment.stack.pricing import DiskUse
from deployment.stack.settings import HostSettings

# What `fab` or a whole stack reads, and a program that makes one host does not. To say it here would change nothing.
OF_A_STACK = {
    "zone": "Give it as the input zone",
    "zones": "`fab up` of a stack tries them: delete it",
    "on_demand_fallback": "`fab up` of a stack falls back: delete it",
    "models": "only `fab` reads it, of a stack: delete it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneHost:
    """Settings that passed, and what follows from them."""

    settings: HostSettings
    shape: Shape
    boot_disk: DiskUse
    data_disk: DiskUse
    image: str


def of_settings(settings: HostSettings, shape: Shape, catalog: Catalog) -> OneHost:
    """Say what follows from the settings of a host with a known machine."""
    disks, image = disk_uses(settings, catalog), settings.image or catalog.images.default
    return OneHost(settings=settings, shape=shape, boot_disk=disks["boot"], data_disk=disks["data"], image=image)


def one_host(data: Mapping[str, Any]) -> OneHost:
    """Check the settings of one host. Raises ConfigError with every problem found."""
    catalog = load_catalog()
    try:
        settings = HostSettings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(describe(error, (), Document("settings", data), HostSettings)) from None
    problems = [
        f"settings {to_camel(key)}: nothing here reads it, got {shown(getattr(settings, key))}. {instead}."
        for key, instead in OF_A_STACK.items()
        if key in settings.model_fields_set
    ]
    shape = catalog.shape(settings.machine_type)
    if shape is None:
        what = f"not an Axion machine, got {shown(settings.machine_type)}. Use one such as c4a-standard-32"
        raise ConfigError([*problems, f"settings machineType: {what}."])
    problems += [
        f"settings {which}Disk{field}: {what}"
        for which, use in disk_uses(settings, catalog).items()
        for field, what in disk_problems(shape, which, use, catalog)
    ]
    if problems:
        raise ConfigError(problems)
    return of_settings(settings, shape, catalog)
