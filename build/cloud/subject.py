"""What the doctor examines: a stack by its file, and what the file means in Google's names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deployment.stack.catalog import Catalog
from deployment.stack.pricing import Bill
from deployment.stack.settings import StackSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is examined."""

    stack: str
    settings: StackSettings
    bill: Bill
    catalog: Catalog
    config: Mapping[str, Any] = field(default_factory=dict)
    """The stack's file as it stands, for what Google's provider reads of it."""

    def instance(self, host: str) -> str:
        """The path of a host's instance."""
        settings = self.settings
        return f"projects/{settings.project}/zones/{settings.zone_of(host)}/instances/axion-{self.stack}-{host}"

    @property
    def subnetwork(self) -> str:
        """The path of the subnetwork that the hosts stand in."""
        settings = self.settings
        own = f"projects/{settings.project}/regions/{settings.region}/subnetworks/axion-{self.stack}-subnet"
        return settings.subnetwork or own

    @property
    def images(self) -> list[str]:
        """References of the images that the hosts boot from."""
        return sorted({host.image or self.catalog.images.default for host in self.settings.hosts.values()})
