"""What a host's system is and brings, as agent/system.py tells it."""

from pydantic import BaseModel, ConfigDict


class System(BaseModel):
    """One look at it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    distribution: str
    said: str = ""
    """What build/remote/minimum.py asks of every host."""
    is_root: bool
    has_apt: bool
    cores: tuple[int, ...]
    available_bytes: int
    features: tuple[str, ...]
    """Of the processor, as the kernel names them."""
    found: frozenset[str]
    """Modules, libraries, headers and programs that were asked for and are there."""
    compilers: dict[str, str]
    """Version of each C++ compiler by its name."""
