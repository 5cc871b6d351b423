"""What a process runner has to do: start altogether, or take over what came and went."""

from dataclasses import dataclass
from typing import Literal

GatewayStep = Literal["keep", "reload", "restart", "start"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessDiff:
    """What is told to the runner in one go. What has to stop, it sees by its own files."""

    is_runner_up: bool
    start: tuple[str, ...]
    """Engines that do not run yet."""
    gateway: GatewayStep
    unload: tuple[str, ...] = ()
    """Engines on demand that end: the next request for them starts them as they are then."""
